"""Processes of commands that run: which of them holds a run directory, and its workers."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

POLL = 0.005  # seconds


def wait_for(folder: Path, pattern: str, command: Future[Any]) -> Path:
    """Return a file below a folder as soon as a command, which still runs, has made it."""
    while True:
        if found := sorted(path for path in folder.glob(pattern) if path.is_file() and path.stat().st_size):
            return found[0]
        assert not command.done(), f"ended before there was {pattern}: {command.result()}"
        time.sleep(POLL)


def holder(run_dir: Path) -> int:
    """Return the process that holds a run directory."""
    return int((run_dir / ".lock").read_text())


def wait_for_workers(pid: int, command: Future[Any]) -> list[int]:
    """Return the processes that load images for a command, which still runs: forks of its process."""
    while not command.done():
        with contextlib.suppress(FileNotFoundError):
            lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
            forks = [int(each) for children in lists for each in children if _words(each) == _words(pid)]
            if forks:
                return forks
        time.sleep(POLL)
    raise AssertionError(f"ended before it had workers: {command.result()}")


def _words(pid: int | str) -> bytes:
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()
