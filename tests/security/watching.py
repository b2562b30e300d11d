"""Watch what Python does while it reads a file: programs started, connections made, files written elsewhere."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CALLS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pickle.find_class")
CALLS += ("socket.connect", "socket.bind", "socket.getaddrinfo", "ctypes.dlopen", "webbrowser.open")
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.chmod", "os.truncate")
CHANGES += ("shutil.rmtree", "shutil.move", "shutil.copyfile", "tempfile.mkstemp", "tempfile.mkdtemp")
WITHIN = ("os.remove", "os.rmdir", "os.mkdir")  # their last argument is an open folder, or -1
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_watch = threading.local()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if (folder := getattr(_watch, "folder", None)) is None:
        return
    if event in CALLS:
        _watch.found.append(f"{event} {arguments[:2]}")
    elif event in CHANGES or (event == "open" and int(arguments[2] or 0) & WRITING):
        path = arguments[0]
        if isinstance(path, (str, bytes, os.PathLike)) and not _place(event, arguments).is_relative_to(folder):
            _watch.found.append(f"{event} {os.fsdecode(path)}")


def _place(event: str, arguments: tuple[Any, ...]) -> Path:
    """Return the absolute path that an event names, which may be relative to an open folder."""
    path = Path(os.fsdecode(arguments[0]))
    if event in WITHIN and arguments[-1] >= 0:
        return Path(os.readlink(f"/proc/self/fd/{arguments[-1]}")) / path  # noqa: PTH115
    return path.absolute()


sys.addaudithook(_hook)


@contextmanager
def nothing_but_reading(folder: Path) -> Iterator[None]:
    """Fail where the block starts a program, connects, unpickles a name, or writes outside a folder."""
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    _watch.found, _watch.folder = [], folder
    try:
        yield
    finally:
        _watch.folder, sys.dont_write_bytecode = None, written
    assert not _watch.found, _watch.found
