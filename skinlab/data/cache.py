"""Decoded images in one memory-mapped file, built once and shared by every process that wants the same ones.

A cache is named after what it holds, so that a changed file or size makes another one. A lock file beside it keeps
processes apart: its builder holds it alone, its users share it for as long as they live. The operating system releases
a lock however its process ends.

A cache that another user can have written, or that is cut or foreign, is built again. It ends in a digest of its name,
its shape and a few of its images, so that checking it takes the same time whatever its size.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from skinlab.data.dataset import ImageDataset, batch_loader
from skinlab.data.images import BadImage
from skinlab.data.private_files import (
    UnusableFile,
    make_private_folder,
    open_private,
    open_unlinked,
    replacing_private,
)
from skinlab.data.samplers import EvalSampler
from skinlab.errors import UserError, nearest
from skinlab.processes.cores import available_cores

FORMAT = 2  # raise it whenever `read_image` gives other pixels for the same file, or the file is laid out anew
KINDS = ("none", "ram", "disk")
RAM = Path("/dev/shm")  # a file system in memory, there on every Linux
CHUNK = 64  # images written at a time
SEAL = 32  # bytes of the digest at a cache's end
SEALED_IMAGES = 8  # of those the digest is made of

log = logging.getLogger(__name__)


class CachedImages:
    """Decoded images by row; pickling reopens the file in the other process instead of copying the pixels.

    Args:
        path: File of (N, S, S, 3) uint8 pixels and their seal.
        size: Side of an image in pixels, S.
        temporary: Whether the last user deletes the file.
        rows: Which of the file's images these are, in order; None for all.

    Raises:
        FileNotFoundError: If the file is not there (any more).
        UnusableFile: If others can have written it, or it is not what was built under this name.
    """

    def __init__(self, path: Path, size: int, *, temporary: bool, rows: npt.NDArray[np.int64] | None = None) -> None:
        self.path, self.size, self.temporary = path, size, temporary
        lease = _lock(_lock_file(path), fcntl.LOCK_SH)
        self._finalizer = weakref.finalize(self, _end_lease, lease, os.getpid(), path if temporary else None)
        try:
            self._pixels = _map(path, size)
        except (OSError, UnusableFile):
            self._finalizer()
            raise
        self.rows = np.arange(len(self._pixels)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> npt.NDArray[np.uint8]:
        """Return a read-only view of one image, (S, S, 3)."""
        return np.asarray(self._pixels[self.rows[row]])

    def select(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> CachedImages:
        """Return some of the images, renumbered in the order given: one split's, say."""
        return _reopen(self.path, self.size, self.temporary, self.rows[np.asarray(rows, dtype=np.int64)])

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.path, self.size, self.temporary, self.rows)


def open_cache(
    paths: Sequence[str | Path],
    *,
    size: int,
    fit: str = "crop",
    kind: str = "none",
    directory: str | Path | None = None,
    num_workers: int | None = None,
) -> CachedImages | None:
    """Return the decoded images of these files; whoever comes first builds the cache, whoever comes meanwhile waits.

    Args:
        paths: Image files; the cache's rows follow their order.
        size: Side of the square images in pixels.
        fit: "crop" or "stretch", see `read_image`.
        kind: "ram" keeps the cache in shared memory until its last user ends, "disk" keeps it in a directory for good.
        directory: Where a disk cache lies.
        num_workers: Processes that decode; one a core by default.

    Returns:
        The images, or None where `kind` is "none" or there are no paths.

    Raises:
        UserError: If `kind` is unknown, a file is missing or can't be read, or the cache does not fit.
    """
    if kind not in KINDS:
        raise UserError(f"data.cache={kind} is unknown{nearest(kind, KINDS)}: choose one of {', '.join(KINDS)}")
    if kind == "disk" and directory is None:
        raise UserError("data.cache=disk needs a directory: set data.cache_dir")
    if kind == "none" or not len(paths):
        return None
    folder = RAM / f"skinlab-{os.getuid()}" if kind == "ram" else Path(str(directory))
    if kind == "ram":
        make_private_folder(folder)
        _sweep(folder)
    else:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{_key(paths, size, fit)}.u8"
    workers = available_cores() if num_workers is None else num_workers
    while True:
        try:
            return CachedImages(path, size, temporary=kind == "ram")
        except FileNotFoundError:  # not built yet, or deleted by its last user just now
            pass
        except UnusableFile as error:
            log.warning("the image cache is built again: %s", error)
        with _alone(path):
            if _fault(path, size):
                _build(path, paths, size=size, fit=fit, num_workers=workers)
                if fault := _fault(path, size):
                    raise UserError(
                        f"{fault}, though it was just written; set data.cache_dir to a folder on a local disk, "
                        "or data.cache=none"
                    )


def _map(path: Path, size: int) -> npt.NDArray[np.uint8]:
    """Return a cache's pixels, (N, size, size, 3); see CachedImages for what it raises."""
    with open_private(path) as file:
        count, rest = divmod(os.fstat(file.fileno()).st_size - SEAL, size * size * 3)
        if count < 1 or rest:
            raise UnusableFile(f"{path} is cut or no image cache")
        mapped = np.memmap(file, dtype=np.uint8, mode="r", shape=(count, size, size, 3))
        pixels = np.asarray(mapped)  # indexing a memmap itself takes five times as long
        file.seek(-SEAL, os.SEEK_END)
        if file.read() != _seal(path, pixels):
            raise UnusableFile(f"{path} holds other images than were cached under its name")
    return pixels


def _seal(path: Path, pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a digest of a cache's name, shape and a few of its images, the first and the last among them."""
    digest = hashlib.blake2b(f"{path.name} {pixels.shape}".encode(), digest_size=SEAL)
    for row in np.linspace(0, len(pixels) - 1, SEALED_IMAGES, dtype=np.int64):
        digest.update(pixels[row].data)
    return digest.digest()


def _fault(path: Path, size: int) -> str:
    """Say what is wrong with a cache, or that there is none; an empty text if nothing."""
    try:
        _map(path, size)
    except FileNotFoundError:
        return f"{path} is not there"
    except UnusableFile as error:
        return str(error)
    return ""


def _key(paths: Sequence[str | Path], size: int, fit: str) -> str:
    """Name a cache after all that decides its pixels: the files, their sizes and times, and the working size."""
    digest = hashlib.blake2b(f"{FORMAT} {size} {fit}".encode(), digest_size=16)
    for path in paths:
        try:
            status = Path(path).stat()
        except OSError as error:
            raise BadImage.at(path, "can't be found") from error
        digest.update(b"%b\0%d %d\0" % (os.fsencode(path), status.st_size, status.st_mtime_ns))
    return digest.hexdigest()


def _build(path: Path, paths: Sequence[str | Path], *, size: int, fit: str, num_workers: int) -> None:
    """Decode every image into a file that appears under its name once it is whole."""
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
    try:
        with replacing_private(path, path.with_suffix(".part")) as file:
            for batch in track(loader, title, total=len(loader), console=Console(stderr=True)):
                file.write(batch["image"].permute(0, 2, 3, 1).numpy().tobytes())
            file.flush()
            pixels = np.memmap(file, dtype=np.uint8, mode="r", shape=(len(paths), size, size, 3))
            file.seek(0, os.SEEK_END)
            file.write(_seal(path, np.asarray(pixels)))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise too_little from error
        raise


def _lock_file(path: Path) -> Path:
    return path.with_suffix(".lock")


def _lock(path: Path, mode: int) -> int:
    """Lock a file and return its descriptor; one that was deleted while waiting for it does not count."""
    while True:
        try:
            descriptor = open_unlinked(path, os.O_RDWR | os.O_CREAT)
        except UnusableFile as error:
            raise UserError(f"{error}: remove it") from None
        try:
            fcntl.flock(descriptor, mode)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except BlockingIOError:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep every other builder and user of a cache out."""
    lock_file = _lock_file(path)
    try:
        descriptor = _lock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("another run is building the image cache: waiting for it")
        descriptor = _lock(lock_file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would leave it to forked workers that are still ending
        os.close(descriptor)


def _end_lease(descriptor: int, owner: int, temporary: Path | None) -> None:
    """Give up a share in a cache and delete a temporary one if nobody else has a share."""
    if os.getpid() != owner:  # a forked worker holds the very lock of its parent
        return
    if temporary is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink(missing_ok=True)
            _lock_file(temporary).unlink(missing_ok=True)
        except BlockingIOError:
            pass
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Delete temporary caches whose users were all killed."""
    for lock_file in folder.glob("*.lock"):
        try:
            descriptor = _lock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        lock_file.with_suffix(".part").unlink(missing_ok=True)
        _end_lease(descriptor, os.getpid(), lock_file.with_suffix(".u8"))


def _reopen(path: Path, size: int, temporary: bool, rows: npt.NDArray[np.int64]) -> CachedImages:
    return CachedImages(path, size, temporary=temporary, rows=rows)
