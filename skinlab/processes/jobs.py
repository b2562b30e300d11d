"""Start and end the jobs of sweeps and studies: processes that end with their command."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skinlab.processes.signals import GRACE, PARENT

PRINTED = "SKINLAB_PRINTED"  # run directory of an earlier job of the sweep, whose output is on the terminal already
# Set by a launcher of ranks or by this command, and not valid for a job.
FOREIGN = {"LOCAL_RANK", "RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "HYDRA_FULL_ERROR", PRINTED}
FOREIGN |= {"TORCHELASTIC_RUN_ID", "LOCAL_WORLD_SIZE"}


def start_job(
    command: Sequence[str], variables: Mapping[str, str] | None = None, **files: Any
) -> subprocess.Popen[bytes]:
    """Start a job, which ends with this process even if this one is killed.

    Args:
        command: of the job.
        variables: of its environment, beside those of this process.
        **files: ``stdout`` and ``stderr``, as for :class:`subprocess.Popen`.
    """
    kept = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    return subprocess.Popen(command, env=kept | {PARENT: str(os.getpid())} | dict(variables or {}), **files)


def end_jobs(processes: Iterable[subprocess.Popen[bytes]]) -> None:
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
