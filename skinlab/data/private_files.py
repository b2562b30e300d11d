"""Files that a later run trusts: written whole and by this user alone, and checked before they are read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from skinlab.errors import UserError


class UnusableFile(UserError):  # noqa: N818
    """A file that is not to be trusted, or not what it should be; the message names it and says why."""


def open_private(path: Path) -> BinaryIO:
    """Open a file that only this user can have written; a link is not followed.

    Raises:
        FileNotFoundError: there is none.
        UnusableFile: it is a link or no regular file, belongs to another user, or others may write it.
    """
    return os.fdopen(open_unlinked(path, os.O_RDONLY | os.O_NONBLOCK), "rb")  # a pipe would wait for its other end


def open_unlinked(path: Path, flags: int) -> int:
    """Return the descriptor of a file of this user's, made with mode 600 where `flags` say so; see `open_private`."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnusableFile(f"{path} is a symbolic link") from None
        raise
    status = os.fstat(descriptor)
    fault = "" if stat.S_ISREG(status.st_mode) else "is no regular file"
    if fault := fault or _foreign(status):
        os.close(descriptor)
        raise UnusableFile(f"{path} {fault}")
    return descriptor


@contextmanager
def replacing_private(path: Path, part: Path) -> Iterator[BinaryIO]:
    """Yield a new file that gets its name once it is whole; whatever had the name, a link too, is replaced.

    Args:
        path: its name.
        part: its name until then, in the same folder.
    """
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(open_unlinked(part, os.O_RDWR | os.O_CREAT | os.O_EXCL), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def make_private_folder(path: Path) -> None:
    """Make a folder in a place that all users share, or check that it is this user's alone.

    Raises:
        UserError: it is a link or no folder, belongs to another user, or others may write into it.
    """
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        status = path.lstat()
        fault = "" if stat.S_ISDIR(status.st_mode) else "is a link or no folder"
        if fault := fault or _foreign(status):
            raise UserError(f"{path} {fault}: remove it, or set data.cache to none or disk") from None


def _foreign(status: os.stat_result) -> str:
    """Say who else can have written a file or folder; an empty text if nobody."""
    if status.st_uid != os.geteuid():
        return f"belongs to another user (number {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by other users"
    return ""
