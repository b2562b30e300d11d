"""Count the processor cores of this process and set up its threads, without an import of torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

# Threads that wait for each other sleep instead of spinning, for libgomp (Linux wheels), Intel's and LLVM's OpenMP.
# Spinning threads would use the cores that other processes need.
WAITING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}


def available_cores(root: Path = Path("/")) -> int:
    """Return the number of cores this process may use, by its CPU affinity and the CPU quota of its cgroups.

    A quota of two and a half cores counts as two, one below a core as one.

    Args:
        root: of the file system with ``proc`` and ``sys``, for tests.
    """
    return max(1, min([_pinned(), *map(int, _quotas(root))]))


def _pinned() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas, in cores, of this process's cgroups and of the groups around them (version 1 and 2)."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in {"sys/fs/cgroup", f"sys/fs/cgroup/{controllers or 'unified'}", "sys/fs/cgroup/cpu"}:
            # In a container its own group is the mount's root, so the path may not exist.
            folder = root / mount / group.lstrip("/")
            for place in (folder, *folder.parents[: len(Path(group).parts) - 1]):
                yield from _quota(place)


def _quota(folder: Path) -> Iterator[float]:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text(encoding="utf-8") for name in names).split()
            if float(quota) > 0:
                yield float(quota) / float(period)
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue


def set_up_threads(sharers: int = 1) -> None:
    """Set the number of OpenMP's threads and how they wait, for this process and those it starts.

    Environment variables that are set already stay.

    Args:
        sharers: number of processes that share the cores.
    """
    if not any(name in os.environ for name in (*WAITING, "GOMP_SPINCOUNT")):
        os.environ.update(WAITING)
    cores = available_cores()
    if sharers > 1 or cores < _pinned():  # else torch's own number is right: one thread a physical core
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // sharers)))


@contextmanager
def thread_pool() -> Iterator[ThreadPoolExecutor]:
    """Yield threads, one a core; after an error or Ctrl-C the calls that have not begun are cancelled."""
    pool = ThreadPoolExecutor(available_cores())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
