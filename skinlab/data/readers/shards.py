"""Reader of shards in the format of WebDataset: tar files in which the files of a sample share a name.

``ISIC_1.jpg`` and ``ISIC_1.json`` (or ``ISIC_1.cls``, its label alone) are one sample. The shards are searched once;
their index, a manifest in Parquet, is kept in the cache, and each image is then read at its place.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from skinlab.data.image_files import member_path
from skinlab.data.images import IMAGE_SUFFIXES
from skinlab.data.manifest import OPTIONAL_TEXT, build_manifest
from skinlab.data.private_files import UnusableFile, open_private
from skinlab.data.readers.listing import absolute
from skinlab.errors import UserError, some
from skinlab.files import replacing
from skinlab.processes.progress import track
from skinlab.text import printable

FORMAT = 1  # of the index
FIELDS = ("label", "group", "source", "split", "age", *(name for name in OPTIONAL_TEXT if name != "mask_path"))
JSON, LABELS = ".json", (".cls", ".txt")
MAX_JSON = 2**20  # bytes
COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")


def read_shards(root: str | Path, cache_dir: str | Path | None = None) -> pd.DataFrame:
    """Read the shards below a folder.

    Args:
        root: folder of the tar files.
        cache_dir: where their index is kept; None to search them each time.

    Raises:
        UserError: there are none, one is compressed or damaged, pyarrow is missing, a sample has several images or a
            metadata file that is none, or two samples have one name.
    """
    base = Path(absolute(root))
    shards = sorted(str(path) for path in base.rglob("*.tar") if path.is_file())
    if not shards:
        packed = sorted(path.name for path in base.rglob("*") if path.name.endswith(COMPRESSED))
        reason = (
            f", but compressed ones, in which no image can be found at once: unpack {some(packed)} to .tar"
            if packed
            else ": give the folder of the tar files, with an image and its metadata a sample"
        )
        raise UserError(f"data.root={root} holds no shard (.tar){reason}")
    store = None if cache_dir is None else Path(cache_dir) / f"shards-{_key(shards)}.parquet"
    frame = _load(store)
    if frame is None:
        frame = pd.DataFrame([row for shard in track(shards, "reading shards", len(shards)) for row in _samples(shard)])
        _save(frame, store)
    known = frame.columns.intersection(["image_id", "path", *FIELDS])
    return build_manifest(frame[known])


def _key(shards: Sequence[str]) -> str:
    """Return a digest of the shards' paths, sizes and times."""
    found = [(shard, os.stat(shard).st_size, os.stat(shard).st_mtime_ns) for shard in shards]  # noqa: PTH116
    return hashlib.sha256(json.dumps([FORMAT, found]).encode()).hexdigest()[:16]


def _load(store: Path | None) -> pd.DataFrame | None:
    """Return the index; None where there is none, or another user can have written it."""
    try:
        if store is None:
            return None
        with open_private(store) as file:
            return pd.read_parquet(file)
    except ImportError:
        raise _no_pyarrow() from None
    except (OSError, ValueError, UnusableFile):  # a damaged file is a ValueError of pyarrow
        return None


def _save(frame: pd.DataFrame, store: Path | None) -> None:
    if store is None:
        return
    store.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(store) as place:
            frame.to_parquet(place)
    except ImportError:
        raise _no_pyarrow() from None


def _no_pyarrow() -> UserError:
    return UserError(
        "data=shards keeps its index in Parquet: pip install 'skinlab[shards]', or set data.cache_dir=null"
    )


def _samples(shard: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each sample of a shard that has an image."""
    try:
        with tarfile.open(shard, "r:") as tar:
            sample: dict[str, Any] = {}
            for member in tar:
                if not member.isreg():
                    continue
                key, suffix = _split(member.name)
                if key != sample.get("image_id"):
                    yield from _whole(sample)
                    sample = {"image_id": key}
                _add(sample, shard, tar, member, suffix)
            yield from _whole(sample)
    except tarfile.TarError as error:
        raise UserError(f"{printable(shard)} is damaged or no tar file ({error}): write it again") from error


def _split(name: str) -> tuple[str, str]:
    """Return the key and the suffix of a member, which are divided by the first dot of its file name.

    >>> _split("train/ISIC_1.mask.png")
    ('train/ISIC_1', '.mask.png')
    """
    folder, slash, file = name.removeprefix("./").rpartition("/")
    stem, dot, suffix = file.partition(".")
    return folder + slash + stem, (dot + suffix).lower()


def _add(sample: dict[str, Any], shard: str, tar: tarfile.TarFile, member: tarfile.TarInfo, suffix: str) -> None:
    """Add a file of a sample to its row."""
    name = f"{printable(shard)}: {printable(member.name)}"
    if suffix in IMAGE_SUFFIXES:
        if "path" in sample:
            raise UserError(f"{name} is a second image of its sample: keep one an image_id, or give each its own name")
        sample["path"] = member_path(shard, member.offset_data, member.size, member.name.rpartition("/")[2])
    elif suffix == JSON or suffix in LABELS:
        file = tar.extractfile(member)
        content = b"" if file is None else file.read(MAX_JSON)
        try:
            found = json.loads(content) if suffix == JSON else {"label": content.decode().strip()}
        except (ValueError, RecursionError) as error:  # of JSON and Unicode
            raise UserError(f"{name} can't be read ({error}): correct it") from error
        if not isinstance(found, dict):
            raise UserError(f"{name} is no object with fields such as label and group: correct it")
        sample |= {field: str(found[field]) for field in FIELDS if found.get(field) is not None}


def _whole(sample: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a sample that has an image."""
    if "path" in sample:
        yield sample
