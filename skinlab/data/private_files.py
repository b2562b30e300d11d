"""Files of caches: only this user can have written them, and a checksum shows whether they are whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from skinlab.errors import UserError
from skinlab.files import claim, replacing

CHECKSUM = 32  # bytes


class UnusableFile(UserError):  # noqa: N818
    """A file that others can have written, or with other content than expected; the message names it and says why."""


def checksum(*parts: bytes | memoryview) -> bytes:
    """Return the checksum of some bytes one after the other."""
    return hashlib.blake2b(b"".join(parts), digest_size=CHECKSUM).digest()


def open_private(path: Path) -> BinaryIO:
    """Open a file that only this user can have written; a link is not followed.

    Raises:
        FileNotFoundError: there is none.
        UnusableFile: it is a link or no regular file, belongs to another user, or others may write it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)  # opening a pipe would block
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnusableFile(f"{path} is a symbolic link") from None
        raise
    status = os.fstat(descriptor)
    if fault := _foreign(status) if stat.S_ISREG(status.st_mode) else "is no regular file":
        os.close(descriptor)
        raise UnusableFile(f"{path} {fault}")
    return os.fdopen(descriptor, "rb")


def read_checked(path: Path) -> bytes:
    """Return the content of a file that :func:`write_checked` has written.

    Raises:
        FileNotFoundError: there is none.
        UnusableFile: others can have written it, or it is damaged.
    """
    with open_private(path) as file:
        head, content = file.read(CHECKSUM), file.read()
    if head != checksum(os.fsencode(path.name), content):
        raise UnusableFile(f"{path} is damaged")
    return content


def write_checked(path: Path, content: bytes) -> None:
    """Write a file with its checksum, completely or not at all, for this user only."""
    with replacing(path, mode=0o600) as temporary:
        temporary.write_bytes(checksum(os.fsencode(path.name), content) + content)


@contextlib.contextmanager
def one_maker(store: Path | None) -> Iterator[None]:
    """Let one of several processes make a file of a cache while the others wait for it; None for no cache."""
    with contextlib.ExitStack() as stack:
        if store is not None:
            with contextlib.suppress(UserError):  # where nothing can be locked each makes its own
                stack.enter_context(claim(store.with_suffix(".lock"), "data.cache_dir", wait=True))
        yield


def make_private_folder(path: Path) -> None:
    """Make a folder that only this user can write, in a place that all users share.

    Raises:
        UserError: it is a link or no folder, belongs to another user, or others may write into it.
    """
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        status = path.lstat()
        if fault := _foreign(status) if stat.S_ISDIR(status.st_mode) else "is a link or no folder":
            raise UserError(f"{path} {fault}: remove it, or set data.cache to none or disk") from None


def _foreign(status: os.stat_result) -> str:
    """Return who else can have written a file or folder; an empty text if no other user."""
    if status.st_uid != os.geteuid():
        return f"belongs to another user (number {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by other users"
    return ""
