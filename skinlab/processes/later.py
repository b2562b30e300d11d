"""Leave evidence, pages and picture of jobs to the end of their sweep or study, where they are made side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from skinlab.processes.cores import available_cores
from skinlab.processes.jobs import PAGES_LATER, Job, end_jobs, start_job
from skinlab.processes.progress import Progress

LEAVING = {PAGES_LATER: "1"}  # variables of a job that leaves its pages
PAGES_MISSING = ".pages_missing"  # in a run directory until they are made
POLL = 0.05  # seconds


def leaves_pages(run_dir: Path) -> bool:
    """Return whether the pages of a finished run are still to be made."""
    return (run_dir / PAGES_MISSING).exists()


def make_pages(commands: Mapping[Path, Sequence[str]]) -> dict[Path, int]:
    """Make evidence, pages and pictures of finished runs: the command of each, started again, makes what is missing.

    Args:
        commands: run directory → its command, which prints nothing now and keeps its log.

    Returns:
        Run directory → exit code of those that have failed; the same sweep or study, started again, tries again.
    """
    waiting, running, failed = list(commands), dict[Path, Job](), {}
    if not waiting:
        return {}
    try:
        with Progress("making reports and pictures", len(waiting)) as progress:
            while waiting or running:
                while waiting and len(running) < available_cores():
                    run_dir = waiting.pop(0)
                    running[run_dir] = start_job(commands[run_dir], output=Path(os.devnull), fork=True)
                for run_dir in [each for each, job in running.items() if job.poll() is not None]:
                    if code := running.pop(run_dir).wait():
                        failed[run_dir] = code
                    progress.advance()
                time.sleep(POLL)
    finally:
        end_jobs(running.values())
    return failed
