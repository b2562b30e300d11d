"""Commands that are killed: forks of a process with all imports, which get SIGKILL at a chosen moment of their work.

A moment is a number of seconds of processor time, which does not depend on how busy the machine is; the n-th change of
the file system (a file opened for writing, made, renamed or removed), where a kill is most likely to break a file; or,
for commands that wait for others, a number of seconds.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])

from tests.command_server import CommandServer, import_everything, work

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
POLL, TIMEOUT = 0.005, 1800  # seconds


@dataclass(frozen=True)
class Moment:
    """When a process is killed: after seconds of processor time, at a change of the file system, or after seconds."""

    cpu: float = 1e9
    change: int = 0
    seconds: float = 1e9


@dataclass(frozen=True)
class Ended:
    """A command that has ended: what it printed, how long it took, and its changes of the file system.

    Attributes:
        process: its exit code and what it printed.
        cpu: seconds of processor time of this process alone.
        changes: of the file system.
        seconds: from its start to its end.
    """

    process: subprocess.CompletedProcess[str]
    cpu: float
    changes: int
    seconds: float

    @property
    def killed(self) -> bool:
        """Return whether SIGKILL has ended it."""
        return self.process.returncode == -signal.SIGKILL

    def moment(self, rng: random.Random, *, at_change: bool) -> Moment:
        """Return a random moment of another process that does the same."""
        if at_change:
            return Moment(change=rng.randint(1, self.changes))
        return Moment(cpu=rng.uniform(0.02, 1) * self.cpu)


class Victims(CommandServer):
    """Runs commands to their end, or up to a moment at which they are killed.

    Args:
        folder: in which they run, and what they print is kept meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(__file__)
        self.folder = folder
        self.extra: dict[str, Any] = {}
        self.found: list[Any] = []

    def answer(self, request: dict[str, Any]) -> str:
        """Send a request with the moment, and keep what is known of the process."""
        self.found = json.loads(super().answer(request | self.extra))
        return str(self.found[0])

    def start(
        self,
        command: str,
        overrides: Sequence[str],
        environment: Mapping[str, str],
        moment: Moment = Moment(),
        setup: str = "",
    ) -> Ended:
        """Run a command; it is killed at the moment unless it ends before.

        Args:
            command: its name.
            overrides: of the command.
            environment: beside that of this process.
            moment: of the kill.
            setup: module whose function ``use`` is called before the command, in its process.
        """
        self.extra = asdict(moment) | {"setup": setup}
        process = self.run(command, overrides, self.folder, os.environ | environment, TIMEOUT)
        return Ended(process, *self.found[1:])


def serve() -> None:
    """Answer requests until standard input ends."""
    import_everything()
    changes = mmap.mmap(-1, 8)
    for line in sys.stdin:
        request = json.loads(line)
        changes[:] = struct.pack("q", 0)
        child = os.fork()
        if not child:
            if request["setup"]:
                importlib.import_module(request["setup"]).use()
            sys.addaudithook(counter(changes, request["change"]))
            work(request)
        started = time.monotonic()
        code, cpu = wait(child, request["cpu"], started + request["seconds"])
        print(json.dumps([code, cpu, struct.unpack("q", changes)[0], time.monotonic() - started]), flush=True)


def counter(changes: mmap.mmap, last: int) -> Any:
    """Return an audit hook that counts the changes of the file system in this process, and kills it at one of them."""
    own = os.getpid()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and arguments[2] & WRITING and not str(arguments[0]).startswith(("/dev/", "/proc/"))
        if (writes or event in CHANGES) and os.getpid() == own:
            (count,) = struct.unpack("q", changes)
            changes[:] = struct.pack("q", count + 1)
            if count + 1 == last:
                os.kill(own, signal.SIGKILL)

    return hook


def wait(child: int, limit: float, end: float) -> tuple[int, float]:
    """Wait for a process, and kill it when its processor time reaches a limit, or at a time.

    Returns:
        Its exit code and its processor time.
    """
    while True:
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        cpu = cpu_seconds(child)
        if ended is not None:
            _, status = os.waitpid(child, 0)
            return os.waitstatus_to_exitcode(status), cpu
        if cpu >= limit or time.monotonic() >= end:
            os.kill(child, signal.SIGKILL)
        time.sleep(POLL)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    serve()
