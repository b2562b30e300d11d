"""Have SLURM start a job again: at its signal before a time limit or a preemption, and after the loss of a node."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from types import FrameType

from skinlab.processes.launch import find_launch

log = logging.getLogger(__name__)


def requeue_at(name: str) -> None:
    """Requeue the job at once when a signal comes, for the parts of a run that have nothing of their own to save.

    Args:
        name: of the signal, such as ``USR1``.
    """
    process = os.getpid()

    def handle(_: int, __: FrameType | None) -> None:
        if os.getpid() == process:  # SLURM sends it to the worker processes, too
            requeue()

    signal.signal(signal.Signals[f"SIG{name}"], handle)


def requeue() -> None:
    """Have SLURM end this job and start it again; where it refuses, that is reported and the job goes on."""
    launch = find_launch()
    if launch is None or launch.rank:
        return
    job = os.environ["SLURM_JOB_ID"]
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        refused = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        refused = f"scontrol: {error.strerror}"
    if refused:
        log.warning("SLURM does not requeue job %s (%s); submit it again, and the run continues", job, refused)
    else:
        log.info("job %s is requeued: it starts again and continues", job)


def is_requeued() -> bool:
    """Return whether SLURM has started this job before."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
