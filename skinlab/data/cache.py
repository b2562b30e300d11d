"""Decoded images in one memory-mapped file, built once and shared by all processes that use the same images.

A cache is named after its content, so that a changed file or size makes another one. It is on a disk or in shared
memory; the only difference is that one in memory is deleted by its last user, and by a later run if all were killed.
For that its users share a lock on it, which the operating system releases however a process ends (and which `filelock`
does not have). One in memory is no faster than one on a disk that the page cache holds, but needs no disk.

A cache that another user can have written, or that is damaged, is built again. It ends in a checksum of its name, its
shape and a few of its images, so that checking it takes the same time whatever its size.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import shutil
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from skinlab.data.dataset import ImageDataset, batch_loader
from skinlab.data.image_files import size_and_time
from skinlab.data.images import BadImage
from skinlab.data.private_files import CHECKSUM, UnusableFile, checksum, make_private_folder, open_private
from skinlab.data.samplers import EvalSampler
from skinlab.errors import UserError
from skinlab.files import claim, replacing
from skinlab.processes.cores import available_cores
from skinlab.processes.progress import track

FORMAT = 2  # raise it when `read_image` returns other pixels for the same file, or the layout of a cache changes
RAM = Path("/dev/shm")  # a file system in memory, there on every Linux
CHUNK = 64  # images written at a time
CHECKED_IMAGES = 8  # of those the checksum is made of

log = logging.getLogger(__name__)


class CachedImages:
    """Decoded images by row; another process that unpickles it opens the file instead of getting the pixels.

    Args:
        path: File of (N, S, S, 3) uint8 pixels and their checksum.
        size: Side of an image in pixels, S.
        temporary: Whether the last user deletes the file.
        rows: Rows of the file, in order; None for all.

    Raises:
        FileNotFoundError: If there is no such file (any more).
        UnusableFile: If others can have written it, or it has other content than was built under this name.
    """

    def __init__(self, path: Path, size: int, *, temporary: bool, rows: npt.NDArray[np.int64] | None = None) -> None:
        self.path, self.size, self.temporary = path, size, temporary
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open_private(path))
            self._pixels = _map(file, path, size)
            if temporary:
                fcntl.flock(file, fcntl.LOCK_SH)
                weakref.finalize(self, _release, file, os.getpid(), path)
                stack.pop_all()
        self.rows = np.arange(len(self._pixels)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> npt.NDArray[np.uint8]:
        """Return a read-only view of one image, (S, S, 3)."""
        return np.asarray(self._pixels[self.rows[row]])

    def select(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> CachedImages:
        """Return some of the images, such as one split's, numbered in their order."""
        chosen = self.rows[np.asarray(rows, dtype=np.int64)]
        return CachedImages(self.path, self.size, temporary=self.temporary, rows=chosen)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(CachedImages, self.path, self.size, temporary=self.temporary, rows=self.rows), ()


def open_cache(
    paths: Sequence[str | Path],
    *,
    size: int,
    fit: str = "crop",
    kind: str = "none",
    directory: str | Path | None = None,
    num_workers: int | None = None,
) -> CachedImages | None:
    """Return the decoded images of some files; the first process builds the cache, others wait for it.

    Args:
        paths: Image files; the cache's rows follow their order.
        size: Side of the square images in pixels.
        fit: "crop" or "stretch", see `read_image`.
        kind: "ram" keeps the cache in shared memory until its last user ends, "disk" in a directory for good, "none"
            has no cache.
        directory: Folder of caches on a disk.
        num_workers: Processes that decode; one a core by default.

    Returns:
        The images, or None where `kind` is "none" or there are no paths.

    Raises:
        UserError: If a file is missing or can't be read, or the cache does not fit.
    """
    if kind == "disk" and directory is None:
        raise UserError("data.cache=disk needs a directory: set data.cache_dir")
    if kind == "none" or not len(paths):
        return None
    in_memory, name = kind == "ram", f"{_key(paths, size, fit)}.u8"
    folder = RAM / f"skinlab-{os.getuid()}" if in_memory else Path(str(directory))
    if in_memory:
        make_private_folder(folder)
    else:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, lock = folder / name, folder / (".building" if in_memory else f".{name}.lock")
    with contextlib.suppress(FileNotFoundError, UnusableFile):
        return CachedImages(path, size, temporary=in_memory)
    with claim(lock, "data.cache", wait=True, place=f"{kind} ({path})"):
        try:
            return CachedImages(path, size, temporary=in_memory)  # which another process has built meanwhile
        except FileNotFoundError:
            pass
        except UnusableFile as error:
            log.warning("the image cache is built again: %s", error)
        if in_memory:
            _sweep(folder)
        workers = available_cores() if num_workers is None else num_workers
        _build(path, paths, size=size, fit=fit, num_workers=workers)
        try:
            return CachedImages(path, size, temporary=in_memory)
        except (FileNotFoundError, UnusableFile) as error:
            raise UserError(
                f"{error}, though it was just written; set data.cache_dir to a folder on a local disk, or "
                "data.cache=none"
            ) from None


def _map(file: BinaryIO, path: Path, size: int) -> npt.NDArray[np.uint8]:
    """Return the pixels of an open cache, (N, size, size, 3); refuse one that is cut or of another name."""
    count, rest = divmod(os.fstat(file.fileno()).st_size - CHECKSUM, size * size * 3)
    if count < 1 or rest:
        raise UnusableFile(f"{path} is cut or no image cache")
    mapped = np.memmap(file, dtype=np.uint8, mode="r", shape=(count, size, size, 3))
    pixels = np.asarray(mapped)  # indexing a memmap itself takes five times as long
    file.seek(-CHECKSUM, os.SEEK_END)
    if file.read() != _checksum(path, pixels):
        raise UnusableFile(f"{path} holds other images than were cached under its name")
    return pixels


def _checksum(path: Path, pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return the checksum of a cache's name, shape and a few of its images, the first and the last among them."""
    rows = np.linspace(0, len(pixels) - 1, CHECKED_IMAGES, dtype=np.int64)
    return checksum(f"{path.name} {pixels.shape}".encode(), *(pixels[row].data for row in rows))


def _key(paths: Sequence[str | Path], size: int, fit: str) -> str:
    """Return a cache's name: a digest of the files, their sizes and times, and the working size."""
    digest = hashlib.blake2b(f"{FORMAT} {size} {fit}".encode(), digest_size=16)
    for path in paths:
        try:
            size_and_date = size_and_time(path)
        except OSError as error:
            raise BadImage.at(path, "can't be found") from error
        digest.update(b"%b\0%d %d\0" % (os.fsencode(path), *size_and_date))
    return digest.hexdigest()


def _build(path: Path, paths: Sequence[str | Path], *, size: int, fit: str, num_workers: int) -> None:
    """Decode every image into a file that gets its name once it is complete."""
    needed, free = len(paths) * size * size * 3, shutil.disk_usage(path.parent).free
    too_little = UserError(
        f"{path.parent} has {free / 1e6:,.0f} MB free and the image cache needs {needed / 1e6:,.0f} MB: free some, "
        "or set data.cache=none (or the other of ram and disk), or a smaller data.image_size"
    )
    if needed > free:
        raise too_little
    dataset = ImageDataset(paths, np.full(len(paths), -1), size=size, fit=fit)
    loader = batch_loader(dataset, EvalSampler(len(paths)), batch_size=CHUNK, num_workers=num_workers)
    title = f"caching {len(paths):,} images at {size} px ({needed / 1e6:,.0f} MB)"
    for left in path.parent.glob(f".{path.name}.*.tmp"):  # by a killed run
        left.unlink()
    try:
        with replacing(path, mode=0o600) as temporary, temporary.open("w+b") as file:
            for batch in track(loader, title, len(loader)):
                file.write(batch["image"].permute(0, 2, 3, 1).numpy().tobytes())
            file.flush()
            pixels = np.memmap(file, dtype=np.uint8, mode="r", shape=(len(paths), size, size, 3))
            file.seek(0, os.SEEK_END)
            file.write(_checksum(path, np.asarray(pixels)))
    except UserError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT):
            raise too_little from error
        raise


def _release(file: BinaryIO, owner: int, path: Path) -> None:
    """End the use of a cache in memory, and delete it unless another process uses it, too."""
    if os.getpid() == owner:  # a forked worker has the very lock of its parent
        _delete_unused(file, path)
        fcntl.flock(file, fcntl.LOCK_UN)  # closing alone would leave it to forked workers that are still ending


def _delete_unused(file: BinaryIO, path: Path) -> None:
    """Delete a file in memory that no other process uses."""
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # and not another one built meanwhile
            path.unlink()


def _sweep(folder: Path) -> None:
    """Delete the files in memory that no process uses: their users, or who built them, were killed."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError, UnusableFile), open_private(path) as file:
            _delete_unused(file, path)
