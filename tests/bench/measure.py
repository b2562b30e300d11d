"""Measure time, print what was measured beside its limit, and write it all down with the machine."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

Work = Callable[[int], Any]  # the number of the repeat in, so that each can be of other images


@dataclass(frozen=True)
class Row:
    """A measurement: its values over repeats, their limit, and whether the median keeps it."""

    what: str
    values: tuple[float, ...]
    limit: float
    least: bool
    unit: str

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def kept(self) -> bool:
        return self.median >= self.limit if self.least else self.median <= self.limit

    @property
    def spread(self) -> str:
        low, high = min(self.values), max(self.values)
        return f"{low:.2f} to {high:.2f}" if len(self.values) > 1 else ""

    @property
    def bound(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.limit:g}{self.unit}"


ROWS: list[Row] = []  # all that this process has reported


def report(what: str, value: float | Sequence[float], limit: float, *, least: bool, unit: str = "") -> None:
    """Print one line, and keep it: what was measured, median and spread over repeats, the limit, whether it is kept."""
    row = Row(what, (value,) if isinstance(value, int | float) else tuple(value), limit, least, unit)
    ROWS.append(row)
    shown = f"{row.median:8.2f}{unit}" + (f" [{row.spread}]" if row.spread else "")
    print(f"{'ok  ' if row.kept else 'MISS'}  {what:<78} {shown} ({row.bound})", flush=True)


def seconds(work: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Return the processor's time of a call in this process, which other processes change less than its duration."""
    start = time.process_time()
    work()
    return time.process_time() - start


def cpu_ratios(works: dict[str, Work], *, repeats: int) -> dict[str, list[float]]:
    """Return the processor's time of works in turn, one list each; a first turn, which warms up, does not count."""
    turns = range(repeats + 1)
    times = [{name: cpu_seconds(partial(work, turn)) for name, work in works.items()} for turn in turns]
    return {name: [each[name] for each in times[1:]] for name in works}


def quotient(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Return the ratios of two series, pair by pair."""
    return [a / b for a, b in zip(first, second, strict=True)]


def command_seconds(*words: str) -> float:
    """Return the shortest processor's time of three runs of a Python command."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(3))


def machine() -> list[str]:
    """Return lines that name the processor, its cores and load, and the versions that decide speed."""
    from skinlab.processes.cores import available_cores

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    names = ("torch", "torchvision", "timm", "lightly", "albumentations", "opencv-python-headless", "pillow")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return [
        f"{model}, {available_cores()} cores, no GPU used; load at the end {os.getloadavg()[0]:.1f}.",
        f"Python {platform.python_version()}, {versions}.",
    ]


def write_table(path: Path) -> None:
    """Write all that was reported, with the machine, as Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `python -m tests.bench --record`; [speed](docs/speed.md) says how each is measured.",
        "",
        *machine(),
        "",
        "| measured | median | smallest to largest | limit | kept |",
        "|---|---|---|---|---|",
    ]
    for row in ROWS:
        cells = (row.what, f"{row.median:.2f}{row.unit}", row.spread, row.bound, "yes" if row.kept else "no")
        lines.append(f"| {' | '.join(cells)} |")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
