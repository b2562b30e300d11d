"""Handle signals: clean up, print one line and exit with 128 + the signal's number."""

from __future__ import annotations

import functools
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from types import FrameType
from typing import NoReturn

from skinlab.processes.launch import find_launch

MESSAGES = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted", signal.SIGHUP: "hung up"}
GRACE = 20.0  # seconds for cleaning up
ONE_PRESS = 0.5  # seconds in which further interrupts are of the same Ctrl-C, such as those of `timeout` and a shell
POLL = 0.5  # seconds between two checks whether the parent exists
RANK_GRACE = 10.0  # seconds between the closing of rank 0's connections and its end
PARENT = "SKINLAB_PARENT"  # id of the process with which a job of a sweep or study ends


class Stopped(SystemExit):
    """Raised by a signal; ``code`` is 128 + its number. A SystemExit, which ``except Exception`` does not catch."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(code)
        self.message = message


def stop_code(returncode: int) -> int | None:
    """Return 128 + N for a process that ended by SIGTERM, SIGINT or SIGHUP; None for any other exit code.

    >>> stop_code(143), stop_code(-15), stop_code(0), stop_code(2), stop_code(-9)
    (143, 143, None, None, None)
    """
    code = 128 - returncode if returncode < 0 else returncode
    return code if code - 128 in MESSAGES else None


@contextmanager
def handling_signals() -> Iterator[SignalHandler]:
    """Handle the signals that end this process.

    The handler raises `Stopped` in the main thread, so that everything is cleaned up. A second thread prints at once
    how to go on, and ends the process at a second Ctrl-C, or if that exception is lost or the main thread stays in C
    code.

    Yields:
        The handler; its ``remedy`` is printed at the end and may be changed.
    """
    handler = SignalHandler()
    try:
        yield handler
    except Stopped as error:
        handler.end(error)
    except BaseException:
        if handler.signum:  # an error while cleaning up
            handler.end()
        raise
    else:
        if handler.signum:
            handler.end()
    finally:
        handler.unwound = True


def end_workers() -> None:
    """Kill the processes that multiprocessing has started; each loader would wait seconds for its own to end.

    Jobs are spared, which come from a fork server: they save where they are.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise an error about their end
    for child in multiprocessing.active_children():
        if not isinstance(child, ForkServerProcess):
            child.kill()


@functools.cache  # one thread, however many jobs a process runs
def end_with(parent: int) -> None:
    """End this process, which handles no signals of its own, soon after the one that started it has ended.

    Args:
        parent: id of that process.
    """

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(POLL)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()


class SignalHandler:
    """The handler of signals: the signal received, whether its exception was lost, and the line to print."""

    def __init__(self) -> None:
        self.remedy = "the same command goes on"
        self.signum, self.unwound, self.lost = 0, False, False
        self.unsaid = [True]  # emptied by the thread that prints; a launcher of Hydra pickles this object, so no lock
        self.quiet = PARENT in os.environ  # the process that started this job reports its end
        launch = find_launch()
        self.other_rank = launch is not None and launch.rank > 0  # rank 0 reports the end of all
        # Whether this process was started by rank 0.
        self.rank = rank = bool(int(os.environ.get("LOCAL_RANK") or 0)) and "RANK" not in os.environ
        for each in MESSAGES:
            if signal.getsignal(each) is not signal.SIG_IGN:  # set by nohup and &
                signal.signal(each, signal.SIG_IGN if rank else self._stop)
        receiver, sender = os.pipe()
        os.set_blocking(sender, False)
        signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(receiver,), daemon=True).start()
        if rank or self.quiet:
            parent = int(os.environ.pop(PARENT, os.getppid()))
            threading.Thread(target=self._follow, args=(parent, rank), daemon=True).start()
        default_hook = sys.unraisablehook

        def hook(unraisable: sys.UnraisableHookArgs) -> None:
            if isinstance(unraisable.exc_value, Stopped):  # raised within a __del__, where it is lost
                self.lost = True
            elif not self.signum:  # after a signal, such as of a worker's SIGCHLD whose handler is gone
                default_hook(unraisable)

        sys.unraisablehook = hook

    def _stop(self, signum: int, _: FrameType | None) -> None:
        if self.unwound:
            self._say(signum)
            os._exit(128 + signum)
        if not self.signum or self.lost:
            self.signum, self.lost = self.signum or signum, False
            end_workers()
            raise Stopped(128 + self.signum)

    def wait_for_group_signal(self) -> None:
        """Wait for a signal to the whole process group, before the end of a worker is reported as an error.

        Raises:
            Stopped: a signal was received.
        """
        time.sleep(0.2)
        if self.signum:
            raise Stopped(128 + self.signum)

    def _watch(self, receiver: int) -> None:
        """Wait for a signal, then end the process at a second Ctrl-C, or if the main thread takes too long."""
        while (signum := os.read(receiver, 1)[0]) not in MESSAGES:
            pass
        self._say(signum)  # at once, however long the main thread takes to clean up
        received = time.monotonic()
        end = received + GRACE
        while time.monotonic() < end:
            again = bool(select.select([receiver], [], [], 0.2)[0]) and os.read(receiver, 1)[0] == signum
            if again and signum == signal.SIGINT and time.monotonic() > received + ONE_PRESS:
                break
            if self.lost:
                received = time.monotonic()  # of this process's own signal
                signal.pthread_kill(threading.main_thread().ident or 0, signum)
        os._exit(128 + signum)

    def _follow(self, parent: int, rank: bool) -> None:
        """End this process when the one that started it has ended, or the one that had it forked."""
        orderer = multiprocessing.parent_process()
        while os.getppid() == parent and (orderer is None or orderer.is_alive()):
            time.sleep(POLL)
        if not rank:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)

    def wait_for_rank_0(self) -> None:
        """Wait for the end of rank 0, which interrupts the communication of ranks with an error.

        `_follow`, or the launcher of the ranks, then ends this process without a message about that error.
        """
        if self.rank or self.other_rank:
            time.sleep(RANK_GRACE)

    def _say(self, signum: int, message: str = "") -> None:
        """Print how to go on, once; the process that started a job reports its end."""
        try:
            self.unsaid.pop()
        except IndexError:
            return
        if not self.quiet and not self.other_rank:
            print(message or f"{MESSAGES[signal.Signals(signum)]}: {self.remedy}", file=sys.stderr, flush=True)

    def end(self, error: Stopped | None = None) -> NoReturn:
        """Print how to continue, end the children and exit."""
        end_workers()
        code = 128 + self.signum if self.signum else int(str(error.code if error else 1))
        self._say(code - 128, error.message if error else "")
        raise SystemExit(code)
