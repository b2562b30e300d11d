"""Start and end the jobs of sweeps and studies: processes that end with their command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from skinlab.processes.signals import GRACE, PARENT

PRINTED = "SKINLAB_PRINTED"  # run directory of an earlier job of the sweep, whose output is on the terminal already
PAGES_LATER = "SKINLAB_PAGES_LATER"  # set where evidence, pages and picture are left to the end of all jobs
# Set by a launcher of ranks or by this command, and not valid for a job.
FOREIGN = {"LOCAL_RANK", "RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "HYDRA_FULL_ERROR", PRINTED}
FOREIGN |= {"TORCHELASTIC_RUN_ID", "LOCAL_WORLD_SIZE", PAGES_LATER}


class Job(Protocol):
    """A process, as :class:`subprocess.Popen` has it."""

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for the signal that ended it; None while it runs."""

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code."""

    def terminate(self) -> None:
        """Send it SIGTERM."""

    def kill(self) -> None:
        """Send it SIGKILL."""


def start_job(
    command: Sequence[str],
    variables: Mapping[str, str] | None = None,
    *,
    output: Path | None = None,
    fork: bool = False,
) -> Job:
    """Start a job, which ends with this process even if this one is killed.

    Args:
        command: of the job.
        variables: of its environment, beside those of this process; no library reads them when it is imported.
        output: file to which it appends what it prints; None for where this process prints.
        fork: whether it may be forked from a process that has imported what jobs need. A run on several devices may
            not: each of its ranks starts from its command line.
    """
    kept, own = {key: value for key, value in os.environ.items() if key not in FOREIGN}, dict(variables or {})
    if fork:
        from skinlab.processes.forked import ForkedJob, can_fork

        if can_fork(command, kept):
            with contextlib.suppress(OSError):  # such as a path of TMPDIR that is too long for a socket
                return ForkedJob(command, kept, own, output)
    kept |= {PARENT: str(os.getpid())} | own
    if output is None:
        return subprocess.Popen(command, env=kept)
    with output.open("ab") as file:
        return subprocess.Popen(command, env=kept, stdout=file, stderr=subprocess.STDOUT)


def end_jobs(processes: Iterable[Job]) -> None:
    """Terminate jobs and wait for their end; one that does not end in time is killed."""
    jobs = list(processes)
    for job in jobs:
        job.terminate()
    for job in jobs:
        try:
            job.wait(GRACE + 2)
        except subprocess.TimeoutExpired:
            job.kill()
            job.wait()


def signal_in_words(returncode: int) -> str:
    """Return which signal ended a job.

    >>> signal_in_words(-9), signal_in_words(-15)
    ('it was ended by SIGKILL (out of memory?)', 'it was ended by SIGTERM')
    """
    name = signal.Signals(-returncode).name
    return f"it was ended by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"
