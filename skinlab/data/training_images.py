"""The training and validation images of a model as hashes, and the comparison of other images with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.data.audit.fingerprint import content_digest
from skinlab.data.image_files import file_tail
from skinlab.data.images import read_image
from skinlab.errors import UserError

Hashes = npt.NDArray[np.uint64]

FORMAT = 1
NO_LIST = "?"  # in place of the hashes of files' ends, which older runs did not record


@dataclass(frozen=True)
class TrainingImages:
    """64-bit hashes of a model's training and validation images, each array sorted and distinct.

    Attributes:
        images: contents of the training images, ``(N,)``.
        groups: names of their groups (lesions, patients).
        val_images: contents of the images by which its best epoch, thresholds or calibrator were chosen.
        val_groups: names of their groups.
        files: ends of the files of both; None if an older run did not record them.
        unknown: initial weights or members whose training images are not known.
    """

    images: Hashes
    groups: Hashes
    val_images: Hashes
    val_groups: Hashes
    files: Hashes | None
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, provenance: Mapping[str, Iterable[str]]) -> Self:
        """Return the hashes of lists of hexadecimal content hashes and of group names."""
        ends = list(provenance.get("files", ()))
        return cls(
            **{name: _distinct(provenance.get(name, ())) for name in ("images", "val_images")},
            **{name: np.unique(_names(provenance.get(name, ()))) for name in ("groups", "val_groups")},
            files=None if NO_LIST in ends else _distinct(ends),
            unknown=tuple(provenance.get("unknown", ())),
        )

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        """Return the training images of several models together."""
        each = list(parts)
        arrays = {
            name: np.unique(np.concatenate([getattr(part, name) for part in each]))
            for name in ("images", "groups", "val_images", "val_groups")
        }
        files = [part.files for part in each if part.files is not None]
        ends = np.unique(np.concatenate(files)) if len(files) == len(each) else None
        return cls(**arrays, files=ends, unknown=tuple(sorted({name for part in each for name in part.unknown})))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and arrays with the format's version, for ``from_dict``."""
        return {"format": FORMAT} | {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the images of a dict of ``to_dict``; those in a later format are unknown.

        Raises:
            ValueError: the arrays are missing or of another form.
        """
        if content.get("format") != FORMAT:
            later = f"training images in format {content.get('format')}, which a later skinlab reads"
            return cls.of({"unknown": [later], "files": [NO_LIST]})
        arrays = {name: _array(content[name]) for name in ("images", "groups", "val_images", "val_groups")}
        files = None if content["files"] is None else _array(content["files"])
        return cls(**arrays, files=files, unknown=tuple(str(name) for name in content["unknown"]))

    def may_contain(self, path: str) -> bool:
        """Return whether a file may be one of the images, so that its content has to be hashed.

        For a JPEG its end decides. Files of other formats, saved again, have the same pixels in other bytes.
        """
        if not len(self.images) and not len(self.val_images):
            return False
        if self.files is None or not len(self.files) or not path.lower().endswith((".jpg", ".jpeg", ".jpe", ".jfif")):
            return True
        end = contents([file_tail(path)])
        place = np.searchsorted(self.files, end)  # np.isin would compare with all of them for each image
        return bool((self.files[place % len(self.files)] == end).all())

    def usage(self, contents: Hashes, groups: pd.Series[str] | None = None) -> npt.NDArray[np.object_]:
        """Return the use of each image in the training: ``train``, ``val``, ``group`` (others of its group) or "".

        Names of groups are compared only if most of the images in common are of such groups, since other data may use
        the same names.

        Args:
            contents: of the images, see :func:`content_hash`, ``(N,)``; 0 for none of them.
            groups: their groups, where they are known.
        """
        train, val = np.isin(contents, self.images), np.isin(contents, self.val_images)
        found = np.where(train, "train", np.where(val, "val", "")).astype(object)
        if groups is not None and (same := found != "").any():
            named = np.isin(_names(groups), np.concatenate([self.groups, self.val_groups])) & (groups != "").to_numpy()
            if named[same].mean() > 0.5:
                found[named & ~same] = "group"
        return found


def read_and_hash(path: str, size: int, fit: str, known: TrainingImages) -> tuple[npt.NDArray[np.uint8], int]:
    """Read an image as ``read_image`` does; return it with its content hash, 0 if its file is not a known one.

    The decoded pixels are hashed; only a JPEG that was decoded at a reduced scale is read again.

    Raises:
        BadImage: it can't be read.
    """
    if not known.may_contain(path):
        return read_image(path, size, fit), 0
    whole: list[npt.NDArray[np.uint8]] = []
    pixels = read_image(path, size, fit, on_whole=whole.append)
    return pixels, content_hash(whole[0] if whole else read_image(path))


def content_hash(pixels: npt.NDArray[np.uint8]) -> int:
    """Return the first 64 bits of the content hash of upright pixels ``(H, W, 3)``."""
    return int.from_bytes(content_digest(pixels)[:8])


def contents(hexadecimal: Iterable[str]) -> Hashes:
    """Return the first 64 bits of content hashes, in their order.

    Raises:
        UserError: one of them is not hexadecimal.
    """
    try:
        return np.array([int(each[:16] or "0", 16) for each in hexadecimal], np.uint64)
    except ValueError as error:
        raise UserError(f"a split.csv or a record holds no hashes of images ({error}); restore it") from None


def _distinct(hexadecimal: Iterable[str]) -> Hashes:
    return np.unique(contents(each for each in hexadecimal if each))


def _array(values: Any) -> Hashes:
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.itemsize != 8:
        raise ValueError(f"hashes of shape {found.shape} and type {found.dtype}")
    return found.view(np.uint64)


def _names(names: Iterable[str]) -> Hashes:
    found: Hashes = pd.util.hash_array(np.array(list(names), object))
    return found
