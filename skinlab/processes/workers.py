"""Worker processes: they end with their parent, and one that stops working ends in an error instead of a hang."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

import cv2

from skinlab.errors import UserError

SHM, MIN_SHARED, SPARE = Path("/dev/shm"), 2**20, 2**23  # bytes: what queues need, and what batches leave for them
POLL, PATIENCE = 5.0, 8  # seconds, and how often in a row nothing may have been done; a pause of all counts once
REMEDY = "set num_workers=0 (data.num_workers=0 in training) to do without such processes"
LARGER = "make it larger (docker run --shm-size=8g)"
SHARED_MEMORY = (
    f"shared memory is full (/dev/shm), through which worker processes pass images on: {LARGER}, or {REMEDY}"
)

Job = TypeVar("Job")
Result = TypeVar("Result")

_counter: ctypes.c_ulonglong | None = None  # of this worker and its siblings


def new_counter() -> ctypes.c_ulonglong:
    """Return a number that worker processes and their parent share; without a lock: what counts is that it changes."""
    return multiprocessing.get_context("spawn").RawValue(ctypes.c_ulonglong)


def count_progress() -> None:
    """Record, in a worker, that another image is at hand."""
    if _counter is not None:
        _counter.value += 1


def enter_worker(counter: ctypes.c_ulonglong | None) -> None:
    """Set up a worker: its parent answers an interrupt, and OpenCV's threads leave the cores to the other workers."""
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    cv2.setNumThreads(0)
    count_progress()


class Watch(threading.Thread):
    """Kills the workers of this process once they have done nothing for a while although they are waited for.

    Their end is then noticed by torch and by Python's executor, which would wait for a stopped worker for ever.

    Args:
        counter: raised by the workers.
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
        """Return what a call gives that waits for workers."""
        self.waiting = True
        try:
            return result()
        finally:
            self.waiting = False
            self.results += 1

    def run(self) -> None:
        """Look at the counter from time to time."""
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
    """Return what to do about a worker that has ended; None for any other error."""
    if not isinstance(error, BrokenProcessPool) and not re.match(r"DataLoader worker \(pid", str(error)):
        return None
    if stalled:
        return UserError(
            f"a worker process has done nothing for {POLL * PATIENCE:.0f} s (stopped, or waiting for a dead drive?): "
            f"start again, or {REMEDY}"
        )
    if "Bus error" in str(error):
        return UserError(SHARED_MEMORY)
    return UserError(f"a worker process was killed (out of memory?): use fewer, such as num_workers=1, or {REMEDY}")


def has_room(size: int) -> bool:
    """Tell whether shared memory has room for so many bytes."""
    return not SHM.is_dir() or shutil.disk_usage(SHM).free >= size


def check_shared_memory() -> None:
    """Refuse to start workers where not even the locks of their queues find room.

    Raises:
        UserError: shared memory is full.
    """
    if not has_room(MIN_SHARED):
        raise UserError(SHARED_MEMORY)


def map_in_processes(function: Callable[[Job], Result], jobs: Sequence[Job], num_workers: int) -> Iterator[Result]:
    """Yield a function's results in order, each made in one of several processes.

    They are spawned: a fork of a process that runs torch's threads may hang.

    Args:
        function: of a module; it calls `count_progress` now and then.
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


def _enter_spawned(counter: ctypes.c_ulonglong) -> None:
    enter_worker(counter)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End with the parent, whose end the executor's queue does not show."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
