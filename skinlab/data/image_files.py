"""Image files: each a file of its own, or a member of a shard, an uncompressed tar file.

The path of a member holds its place in the shard, ``DIR/0.tar@1536+40321/ISIC_1.jpg`` (offset and size in bytes), so
that any image is read at once and no process keeps a list of the others.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

_TAIL = 1024  # bytes; the last ones of a JPEG depend on its picture, not on its metadata
_MEMBER = re.compile(r"(.+\.tar)@(\d+)\+(\d+)/[^/]+", re.DOTALL)

AnyPath = str | os.PathLike[str]


class Place(NamedTuple):
    """Where an image lies: a file, or ``size`` bytes of a shard from ``offset`` on."""

    file: AnyPath
    offset: int = 0
    size: int | None = None


def member_path(shard: str, offset: int, size: int, name: str) -> str:
    """Return the path of a member of a shard.

    >>> place_of(member_path("a/0.tar", 512, 99, "x.jpg"))
    Place(file='a/0.tar', offset=512, size=99)
    """
    return f"{shard}@{offset}+{size}/{name}"


def place_of(path: AnyPath) -> Place:
    """Return where an image lies."""
    text = os.fspath(path)
    if ".tar@" in text and (found := _MEMBER.fullmatch(text)):
        return Place(found[1], int(found[2]), int(found[3]))
    return Place(path)


def size_and_time(path: AnyPath) -> tuple[int, int]:
    """Return the size of an image in bytes, -1 for a folder or pipe, and its file's last change in nanoseconds.

    Raises:
        OSError: its file can't be found.
    """
    place = place_of(path)
    status = os.stat(place.file)  # noqa: PTH116 (a million times, where a Path costs as much as the call)
    size = status.st_size if place.size is None else place.size
    return size if stat.S_ISREG(status.st_mode) else -1, status.st_mtime_ns


def exists(path: AnyPath) -> bool:
    """Return whether an image's file is there."""
    return Path(place_of(path).file).is_file()


def open_image(path: AnyPath) -> BinaryIO:
    """Open an image to read its bytes.

    Raises:
        OSError: its file can't be opened.
    """
    place = place_of(path)
    file = open(place.file, "rb")  # noqa: SIM115
    if place.size is None:
        return file
    with file:
        file.seek(place.offset)
        return io.BytesIO(file.read(place.size))


def file_tail(path: AnyPath) -> str:
    """Return a hash of a file's last bytes, 16 hexadecimal digits; "" for a file that can't be read.

    It is fast and different for most files, so that few have to be decoded in full for their content hash.
    """
    try:
        with open_image(path) as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
            return hashlib.sha256(file.read(_TAIL)).hexdigest()[:16]
    except OSError:
        return ""
