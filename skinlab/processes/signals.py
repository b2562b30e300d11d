"""Signals: a command that is asked to end unwinds, says in one line how to go on, and exits with 128 + the number."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

WORDS = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted", signal.SIGHUP: "hung up"}
GRACE = 20.0  # seconds that the unwinding may take
POLL = 0.5  # seconds between two looks at whether the parent is there
RANK_GRACE = 10.0  # seconds between the closing of rank 0's connections and its end
PARENT = "SKINLAB_PARENT"  # process id that a job of a sweep or study ends with


class Stopped(SystemExit):
    """A signal's end of a command, ``code`` being 128 + its number; no ``except Exception`` takes it for an error."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(code)
        self.message = message


def stop_code(returncode: int) -> int | None:
    """Return 128 + N where a process ended by a signal that asked it to; None where it ended in another way.

    >>> stop_code(143), stop_code(-15), stop_code(0), stop_code(2), stop_code(-9)
    (143, 143, None, None, None)
    """
    code = 128 - returncode if returncode < 0 else returncode
    return code if code - 128 in WORDS else None


@contextmanager
def answering_signals() -> Iterator[SignalAnswer]:
    """Answer the signals that ask this process to end, at whatever moment they come.

    The handler raises `Stopped` in the main thread, so that everything is cleaned up on the way out. A second thread
    sees to it that the process ends even if that exception is lost or the main thread is deep in C code.

    Yields:
        What is said at the end; its ``remedy`` may be set once more is known.
    """
    answer = SignalAnswer()
    try:
        yield answer
    except Stopped as error:
        answer.end(error)
    except BaseException:
        if answer.signum:  # whatever the unwinding stumbled over
            answer.end()
        raise
    else:
        if answer.signum:
            answer.end()
    finally:
        answer.unwound = True


class SignalAnswer:
    """What `answering_signals` knows: the signal that came, whether its exception was lost, how to go on."""

    def __init__(self) -> None:
        self.remedy = "the same command goes on"
        self.signum, self.unwound, self.lost = 0, False, False
        self.quiet = PARENT in os.environ  # whoever started this job reports its end
        # Whether rank 0 has started this process.
        self.rank = rank = bool(int(os.environ.get("LOCAL_RANK") or 0)) and "RANK" not in os.environ
        for each in WORDS:
            if signal.getsignal(each) is not signal.SIG_IGN:  # nohup and & mean it
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
            if isinstance(unraisable.exc_value, Stopped):  # raised within a __del__, which swallows it
                self.lost = True
            else:
                default_hook(unraisable)

        sys.unraisablehook = hook

    def _stop(self, signum: int, _: FrameType | None) -> None:
        if self.unwound:
            self._say(signum)
            os._exit(128 + signum)
        if not self.signum or self.lost:
            self.signum, self.lost = self.signum or signum, False
            raise Stopped(128 + self.signum)

    def settle(self) -> None:
        """Let a signal to the whole process group arrive here, before the end of a worker is reported as an error.

        Raises:
            Stopped: it has.
        """
        time.sleep(0.2)
        if self.signum:
            raise Stopped(128 + self.signum)

    def _watch(self, receiver: int) -> None:
        """Wait for a signal, then give the main thread its time to unwind."""
        while (signum := os.read(receiver, 1)[0]) not in WORDS:
            pass
        end = time.monotonic() + GRACE
        while time.monotonic() < end:
            time.sleep(0.2)
            if self.lost:
                signal.pthread_kill(threading.main_thread().ident or 0, signum)
        self._say(signum)
        os._exit(128 + signum)

    def _follow(self, parent: int, rank: bool) -> None:
        """End with the process that started this one, however that one ended."""
        while os.getppid() == parent:
            time.sleep(POLL)
        if not rank:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)

    def outlast_rank_0(self) -> None:
        """Give rank 0, which started this process, the time to end: its end breaks what its ranks exchange.

        `_follow` then ends this process, without a word about that.
        """
        if self.rank:
            time.sleep(RANK_GRACE)

    def _say(self, signum: int, message: str = "") -> None:
        if not self.quiet:
            print(message or f"{WORDS[signal.Signals(signum)]}: {self.remedy}", file=sys.stderr, flush=True)

    def end(self, error: Stopped | None = None) -> NoReturn:
        """Say how to go on, and exit; children that are left would be waited for."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler makes an error of their end
        for child in multiprocessing.active_children():
            child.kill()
        code = 128 + self.signum if self.signum else int(str(error.code if error else 1))
        self._say(code - 128, error.message if error else "")
        raise SystemExit(code)
