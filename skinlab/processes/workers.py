"""Run worker processes, which end with their parent; one that stops working is an error, not a hang."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import cv2

from skinlab.errors import UserError

SHM, MIN_SHARED, SPARE = Path("/dev/shm"), 2**20, 2**23  # bytes: for queues, and left free by batches
POLL, PATIENCE = 5.0, 8  # seconds between checks, and checks in a row without progress; suspending all counts once
REMEDY = "set num_workers=0 (data.num_workers=0 in training) to use no worker processes"
LARGER = "make it larger (docker run --shm-size=8g)"
SHARED_MEMORY = (
    f"shared memory is full (/dev/shm), through which worker processes pass images on: {LARGER}, or {REMEDY}"
)

Job = TypeVar("Job")
Result = TypeVar("Result")

_counter: ctypes.c_ulonglong | None = None  # of this worker and its siblings


def new_counter() -> ctypes.c_ulonglong:
    """Return a number that workers and their parent share, without a lock, since only its changes matter."""
    return multiprocessing.get_context("spawn").RawValue(ctypes.c_ulonglong)


def count_progress() -> None:
    """Count an image as progress of this worker."""
    if _counter is not None:
        _counter.value += 1


def enter_worker(counter: ctypes.c_ulonglong | None) -> None:
    """Set up a worker: it ignores interrupts, which its parent handles, and runs OpenCV in one thread."""
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    cv2.setNumThreads(0)
    count_progress()


class Watch(threading.Thread):
    """Kills the workers of this process if they make no progress while it waits for them.

    Torch and Python's executor then report their end; they would wait for a stopped worker for ever.

    Args:
        counter: increased by the workers.
    """

    def __init__(self, counter: ctypes.c_ulonglong) -> None:
        super().__init__(daemon=True)
        self.counter, self.waiting, self.results, self.stalled = counter, False, 0, False
        self.over = threading.Event()

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()

    def wait_for(self, result: Callable[[], Result]) -> Result:
        """Return the result of a call that waits for workers."""
        self.waiting = True
        try:
            return result()
        finally:
            self.waiting = False
            self.results += 1

    def run(self) -> None:
        """Check the counter repeatedly."""
        last, idle = (-1, -1), 0
        while not self.over.wait(POLL):
            now = (self.results, self.counter.value)
            idle = idle + 1 if self.waiting and now == last else 0
            last = now
            if idle >= (PATIENCE if self.counter.value else 6 * PATIENCE):  # imports may take their time
                self.stalled = True
                kill_children()
                return


def kill_children(spared: Sequence[multiprocessing.process.BaseProcess] = ()) -> None:
    """Kill the processes that multiprocessing has started in this one."""
    for child in multiprocessing.active_children():
        if child not in spared:
            child.kill()


def lost_worker(error: BaseException, *, stalled: bool = False) -> UserError | None:
    """Return an error with the remedy for a worker that has ended; None for any other error."""
    if not isinstance(error, BrokenProcessPool) and not re.match(r"DataLoader worker \(pid", str(error)):
        return None
    if stalled:
        return UserError(
            f"a worker process has done nothing for {POLL * PATIENCE:.0f} s (stopped, or waiting for a dead drive?): "
            f"start again, or {REMEDY}"
        )
    if "Bus error" in str(error):
        return UserError(SHARED_MEMORY)
    return UserError(f"a worker process was killed (out of memory?): use fewer, or {REMEDY}")


def has_room(size: int) -> bool:
    """Return whether shared memory has a number of bytes free."""
    return not SHM.is_dir() or shutil.disk_usage(SHM).free >= size


def check_shared_memory() -> None:
    """Refuse to start workers if shared memory is too full for their queues.

    Raises:
        UserError: shared memory is full.
    """
    if not has_room(MIN_SHARED):
        raise UserError(SHARED_MEMORY)


def map_in_processes(function: Callable[[Job], Result], jobs: Sequence[Job], num_workers: int) -> Iterator[Result]:
    """Yield a function's results in order, computed in several processes.

    They are spawned, since a fork of a process with torch's threads may hang.

    Args:
        function: of a module; it calls `count_progress` repeatedly.
        jobs: its arguments.
        num_workers: processes.

    Raises:
        UserError: a process was killed, or has stopped.
    """
    before = multiprocessing.active_children()
    check_shared_memory()
    counter = new_counter()
    pool = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), _enter_spawned, (counter,))
    with Watch(counter) as watch, pool:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the processes inherit
            try:
                with _main_left_out():
                    futures = [pool.submit(function, job) for job in jobs]
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            for future in futures:
                yield watch.wait_for(future.result)
        except BaseException as error:
            kill_children(before)
            if plain := lost_worker(error, stalled=watch.stalled):
                raise plain from error
            raise


@contextmanager
def _main_left_out() -> Iterator[None]:
    """Keep processes that are spawned here from importing ``__main__``, where a user's script would begin again."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _enter_spawned(counter: ctypes.c_ulonglong) -> None:
    enter_worker(counter)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End this process with its parent, whose end the executor's queue does not report."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
