"""Folders and files that one process at a time writes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from skinlab.errors import UserError

LOCK = ".lock"

log = logging.getLogger(__name__)

_held: dict[Path, IO[str]] = {}  # folder → its lock


@contextlib.contextmanager
def claim(
    directory: Path, setting: str = "hydra.run.dir", *, wait: bool = False, place: Path | None = None
) -> Iterator[None]:
    """Hold a folder for this process; its holder alone removes the lock, and the folder if nothing else is in it.

    The operating system releases the lock however the process ends.

    Args:
        directory: made if it is not there; one that this process holds already stays held.
        setting: that names the folder, for messages.
        wait: for another process that holds it, instead of refusing.
        place: what the setting names, if it is not the folder.

    Raises:
        UserError: another process is at work in it, or it can't be written.
    """
    if directory in _held:
        yield
        return
    lock = _lock(directory, f"{setting}={place or directory}", setting, wait=wait)
    _held[directory] = lock
    try:
        yield
    finally:
        del _held[directory]
        with contextlib.suppress(OSError):
            if _is_at(lock, directory / LOCK):
                (directory / LOCK).unlink()
        lock.close()
        with contextlib.suppress(OSError):
            directory.rmdir()


@contextlib.contextmanager
def claim_file(path: Path, setting: str = "output") -> Iterator[None]:
    """Hold a file that is to be written, and what belongs to it: by a folder beside it, see :func:`claim`."""
    with claim(path.with_name(f".{path.name}.lock"), setting, place=path):
        yield


def check_held(path: Path) -> None:
    """Refuse to write below a folder that this process holds, once it is gone: it would come back without its files.

    Raises:
        UserError: the folder was removed, renamed or taken by another process.
    """
    for directory, lock in _held.items():
        if path.is_relative_to(directory) and not _is_at(lock, directory / LOCK):
            raise UserError(
                f"{directory} was removed or renamed while this process wrote to it, and {path.name} is not written; "
                "put it back to go on with it, then give the same command again"
            )


def _lock(directory: Path, given: str, setting: str, *, wait: bool) -> IO[str]:
    path = directory / LOCK
    while True:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _no_place(given, error) from None
        try:
            lock = path.open("a+")
        except FileNotFoundError:  # its last holder has removed the folder just now
            continue
        except OSError as error:
            raise _no_place(given, error) from None
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock, not inherited by workers
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise UserError(
                    f"{given} can't be locked ({error.strerror}); choose one on another file system"
                ) from None
            lock.seek(0)
            busy = f"{given} is in use by process {lock.read().strip() or 'unknown'}"
            if not wait:
                lock.close()
                raise UserError(f"{busy}; wait for it or choose another {setting}") from None
            log.info("%s: waiting for it", busy)
            fcntl.lockf(lock, fcntl.LOCK_EX)
        if _is_at(lock, path):
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            return lock
        lock.close()  # removed by its last holder


def _no_place(given: str, error: OSError) -> UserError:
    return UserError(f"{given} can't be written ({error.strerror}); choose another")


def _is_at(lock: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it on success; on failure nothing is left behind.

    Raises:
        UserError: the disk is full or not writable, and the former file stays as it was; or the folder is gone.
    """
    check_held(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"can't write {path} ({error.strerror or error}): free some space or choose another directory; "
            "what was there before is untouched"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all; NaN is written as null, which every reader understands."""
    write_text(path, json.dumps(_without_nan(content), indent=2, sort_keys=False) + "\n")


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and content != content else content


def is_main_process() -> bool:
    """Tell whether this process is the one that writes: rank 0 by whatever launcher."""
    return all(int(os.environ.get(name) or 0) == 0 for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID"))
