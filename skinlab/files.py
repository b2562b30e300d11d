"""Folders and files that one process at a time writes, each completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skinlab.errors import UserError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # from a file system without locks, such as some of networks

log = logging.getLogger(__name__)

_held: dict[Path, os.stat_result] = {}  # folder → status of its lock


@contextlib.contextmanager
def claim(
    directory: Path, setting: str = "hydra.run.dir", *, wait: bool = False, place: str | Path | None = None
) -> Iterator[None]:
    """Lock a folder for this process; at the end the lock is removed, and the folder if nothing else is in it.

    The operating system releases the lock however the process ends, and worker processes do not inherit it.

    Args:
        directory: made if it is not there; one that this process has locked already stays locked.
        setting: that names the folder, for messages.
        wait: for another process that has locked it, instead of refusing.
        place: value of the setting, if it is not the folder.

    Raises:
        UserError: another process has locked it, or it can't be written or locked.
    """
    if directory in _held:
        yield
        return
    lock = _acquire(directory, f"{setting}={place or directory}", setting, wait=wait)
    _held[directory] = (directory / LOCK).stat()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if _is_held(directory):
                (directory / LOCK).unlink()
        del _held[directory]
        lock.release()
        with contextlib.suppress(OSError):
            directory.rmdir()


@contextlib.contextmanager
def claim_file(path: Path, setting: str = "output") -> Iterator[None]:
    """Lock a file that is to be written, and the files that belong to it, by a folder beside it; see :func:`claim`."""
    with claim(_lock_of(path), setting, place=path):
        yield


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def wait_until_free(directory: Path) -> None:
    """Wait for a process that works in a folder: a job of a killed sweep or study, which ends soon after it.

    Raises:
        UserError: the folder can't be locked.
    """
    if (directory / LOCK).exists():
        with claim(directory, wait=True):
            pass


def check_held(path: Path) -> None:
    """Refuse to write below a folder that this process has locked and that was removed: other files would be missing.

    Raises:
        UserError: the folder was removed, renamed or taken by another process.
    """
    for directory in _held:
        if path.is_relative_to(directory) and not _is_held(directory):
            raise UserError(
                f"{directory} was removed or renamed while this process wrote to it, and {path.name} is not written; "
                "restore it and run the same command again"
            )


def _acquire(directory: Path, place: str, setting: str, *, wait: bool) -> BaseFileLock:
    """Lock a folder, made if it is not there, and leave this process's number in its lock."""
    from filelock import FileLock, Timeout  # its import takes a tenth of a second, which --help does without

    path = directory / LOCK
    lock = FileLock(path, blocking=False, thread_local=False, fallback_to_soft=False)
    while not lock.is_locked:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{place} can't be written ({error.strerror}); choose another") from None
        try:
            lock.acquire()
            path.write_text(str(os.getpid()), encoding="utf-8")
        except FileNotFoundError:  # its last holder has removed the folder just now
            continue
        except Timeout:
            with contextlib.suppress(OSError):
                busy = f"{place} is in use by process {path.read_text(encoding='utf-8') or 'unknown'}"
                if not wait:
                    raise UserError(f"{busy}; wait for it or choose another {setting}") from None
                log.info("%s: waiting for it", busy)
                lock.blocking = True
        except OSError as error:
            fault = "locked" if error.errno in NO_LOCKS else "written"
            raise UserError(f"{place} can't be {fault} ({error.strerror}); choose another") from None
    return lock


def _is_held(directory: Path) -> bool:
    """Return whether the lock of a folder that this process holds is still in its place."""
    try:
        return os.path.samestat(_held[directory], (directory / LOCK).stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it on success; on failure nothing is left behind.

    Where no other process may write the file, what a killed one has left of it is removed.

    Args:
        path: of the file; a file or link of that name is replaced.
        mode: permissions of the file.

    Raises:
        UserError: the disk is full or not writable, and the former file stays as it was; or the folder is gone.
    """
    check_held(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if any(path.is_relative_to(held) or held == _lock_of(path) for held in _held):
        for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
            left.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"can't write {path} ({error.strerror or error}): free some space or choose another directory; "
            "the existing file is unchanged"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file completely or not at all, see :func:`json_text`."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """Return the text of a JSON file; NaN becomes null, which is valid JSON."""
    return json.dumps(_without_nan(content), indent=2, sort_keys=False) + "\n"


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and content != content else content


def is_main_process() -> bool:
    """Return whether this process writes files: it has rank 0 of any launcher."""
    names = ["RANK"] if "RANK" in os.environ else ["NODE_RANK", "LOCAL_RANK", "SLURM_PROCID"]
    return all(int(os.environ.get(name) or 0) == 0 for name in names)
