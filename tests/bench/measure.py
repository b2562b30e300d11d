"""Measure seconds, and print what was measured beside its limit."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def report(what: str, value: float, limit: float, *, least: bool, unit: str = "") -> None:
    """Print one line: what was measured, the value, its limit and whether it is kept."""
    kept = value >= limit if least else value <= limit
    print(
        f"{'ok  ' if kept else 'MISS'}  {what:<78} {value:8.2f}{unit} ({'>=' if least else '<='} {limit:g}{unit})",
        flush=True,
    )


def seconds(work: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def command_seconds(*words: str) -> float:
    """Return the shortest of three runs of a Python command."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return min(seconds(lambda: subprocess.run([sys.executable, *words], check=False, **quiet)) for _ in range(3))
