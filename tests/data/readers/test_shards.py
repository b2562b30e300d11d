"""Shards as WebDataset writes them: each image is read at its place, and the index is kept in Parquet."""

import builtins
import io
import json
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import webdataset

from skinlab.data.audit.fingerprint_cache import fingerprints
from skinlab.data.cache import open_cache
from skinlab.data.image_files import exists, file_tail, place_of
from skinlab.data.images import BadImage, read_image
from skinlab.data.readers import shards
from skinlab.data.readers.shards import read_shards
from skinlab.errors import UserError


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Return six JPEG files by their ids."""
    rng, found = np.random.default_rng(0), {}
    for number in range(6):
        found[f"i{number}"] = tmp_path / f"i{number}.jpg"
        cv2.imwrite(str(found[f"i{number}"]), rng.integers(0, 255, (40, 50, 3), np.uint8))
    return found


@pytest.fixture
def root(tmp_path: Path, files: dict[str, Path]) -> Path:
    """Return the folder of two shards of the files, written by WebDataset."""
    folder = tmp_path / "shards"
    folder.mkdir()
    with webdataset.ShardWriter(f"{folder}/train-%03d.tar", maxcount=3, verbose=0) as writer:
        for name, path in files.items():
            label = {"label": "mel" if name in ("i0", "i5") else "nv", "group": f"g{name[-1]}", "age": 40, "extra": [1]}
            writer.write({"__key__": name, "jpg": path.read_bytes(), "json": label})
    return folder


def add(shard: Path, **members: bytes) -> None:
    with tarfile.open(shard, "a") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name.replace("__", "."))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_images_of_shards_are_those_of_the_files(root, files, tmp_path):
    manifest = read_shards(root)
    assert manifest["image_id"].tolist() == list(files)
    assert manifest["label"].tolist() == ["mel", "nv", "nv", "nv", "nv", "mel"]
    assert manifest["group"].tolist() == [f"g{n}" for n in range(6)]
    assert manifest["age"].tolist() == [40.0] * 6
    for member, file in zip(manifest["path"], files.values(), strict=True):
        assert Path(member).name == file.name
        assert exists(member)
        assert (read_image(member, 32) == read_image(file, 32)).all()
        assert (read_image(member) == read_image(file)).all()
        assert file_tail(member) == file_tail(file)
    paths = manifest["path"].tolist()
    plain = [str(path) for path in files.values()]
    assert (fingerprints(paths, None, 0)[0] == fingerprints(plain, None, 0)[0]).all()
    decoded = [open_cache(each, size=16, kind="disk", directory=tmp_path / "cache") for each in (paths, plain)]
    assert all((decoded[0][row] == decoded[1][row]).all() for row in range(6))


def test_the_index_is_read_again_until_a_shard_changes(root, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = read_shards(root, cache)
    (index,) = cache.iterdir()
    opened = []
    monkeypatch.setattr(shards.tarfile, "open", lambda *args: opened.append(args) or tarfile.TarFile.open(*args))
    assert read_shards(root, cache).equals(first)
    assert not opened
    index.write_bytes(index.read_bytes()[:100])
    assert read_shards(root, cache).equals(first)
    assert len(opened) == 2
    add(
        root / "train-001.tar",
        i6__cls=b"nv\n",
        i6__png=cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes(),
    )
    grown = read_shards(root, cache)
    assert grown["label"].tolist() == [*first["label"], "nv"]
    assert read_image(grown["path"].iloc[-1]).shape == (9, 9, 3)


def test_a_shard_that_is_cut_off_or_gone(root):
    manifest = read_shards(root)
    place = place_of(manifest["path"].iloc[2])
    os.truncate(place.file, place.offset + place.size // 2)
    with pytest.raises(BadImage, match="truncated"):
        read_image(manifest["path"].iloc[2])
    Path(place.file).unlink()
    assert not exists(manifest["path"].iloc[0])
    with pytest.raises(BadImage, match="does not exist"):
        read_image(manifest["path"].iloc[0])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"i9__jpg": b"x", "i9__png": b"x"}, r"i9\.png is a second image of its sample"),
        ({"i9__json": b"{"}, r"i9\.json can't be read"),
        ({"i9__json": b"[1]"}, r"i9\.json is no object with fields"),
        ({"i9__cls": b"\xff"}, r"i9\.cls can't be read"),
        ({"i0__jpg": b"x"}, "image_id is repeated for i0"),
        ({"i9__jpg": b"x", "i9__json": json.dumps({"age": 400}).encode()}, "age 400 is no number of years"),
    ],
)
def test_a_sample_that_is_none_is_refused(root, members, message):
    add(root / "train-001.tar", **members)
    with pytest.raises(UserError, match=message):
        read_shards(root)


def test_a_folder_without_shards_or_with_damaged_ones_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no shard \(\.tar\): give the folder"):
        read_shards(tmp_path)
    (tmp_path / "0.tar.gz").touch()
    with pytest.raises(UserError, match=r"compressed ones, .*: unpack 0\.tar\.gz to \.tar"):
        read_shards(tmp_path)
    (tmp_path / "0.tar").write_bytes(b"no tar" * 300)
    with pytest.raises(UserError, match=r"0\.tar is damaged or no tar file"):
        read_shards(tmp_path)


def test_without_pyarrow_the_extra_is_named(root, tmp_path, monkeypatch):
    def no_pyarrow(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", no_pyarrow)
    with pytest.raises(UserError, match=r"pip install 'skinlab\[shards\]', or set data.cache_dir=null"):
        read_shards(root, tmp_path / "cache")
