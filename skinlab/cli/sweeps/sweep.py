"""A sweep: the jobs that have run in this process, and what ends it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf

from skinlab.cli.sweeps.failures import JobFailedError
from skinlab.cli.sweeps.job import JobResult
from skinlab.cli.sweeps.job_log import reason_of
from skinlab.cli.sweeps.table import print_table
from skinlab.processes.later import make_pages
from skinlab.processes.progress import clock

# The value of a job that failed for an optimising sweeper: NaN stops Optuna (Hydra issue 2237).
FAILED_VALUE = 1e12


@dataclass
class Sweep:
    """The jobs of a sweep that have run in this process, in order.

    Attributes:
        total: number of jobs, None where the sweeper decides it.
        folder: of the sweep.
        jobs: that have ended.
        remedy: how the sweep goes on.
        printed: run directory of the first job that has finished in this process: what it printed is not repeated.
        left: run directory → command of the jobs whose pages are made at the end.
        process: id of the process of the sweep, also in a copy that a launcher hands to another one.
        optimises: whether its sweeper chooses the next job by the earlier ones, of which some may fail.
    """

    total: int | None = None
    folder: str = ""
    jobs: list[JobResult] = field(default_factory=list)
    remedy: str = ""
    printed: Path | None = None
    left: dict[Path, list[str]] = field(default_factory=dict)
    process: int = field(default_factory=os.getpid)
    optimises: bool = False

    def title(self, number: int) -> str:
        """Return which job it is, with the time left where earlier ones have taken some."""
        of_all = f" of {self.total}" if self.total else ""
        took = [job.seconds for job in self.jobs]
        left = f", {clock(sum(took) / len(took) * (self.total - number))} left" if took and self.total else ""
        return f"job {number + 1}{of_all}{left}"


@contextmanager
def ending_in_table(name: str, sweep: Sweep) -> Iterator[None]:
    """Print the table of a sweep's jobs at its end, also where some have failed; not where it was stopped.

    Raises:
        JobFailedError: a job has failed; where the sweeper optimises, all of them.
    """
    try:
        yield
    except Exception:
        if sweep.jobs:
            print_table(name, sweep.jobs, sweep.folder)
        raise
    if not sweep.jobs:
        return
    failed_pages = make_pages(sweep.left)
    sweep.jobs[:] = [
        replace(job, returncode=code, reason=reason_of(job.directory, code))
        if (code := failed_pages.get(job.directory))
        else job
        for job in sweep.jobs
    ]
    print_table(name, sweep.jobs, sweep.folder)
    failed = [job for job in sweep.jobs if job.returncode != 0]
    if failed and not (sweep.optimises and len(failed) < len(sweep.jobs)):
        raise JobFailedError.of(sweep.jobs, sweep.remedy)


def runs_here(hydra: HydraConf) -> bool:
    """Return whether the jobs run in the process of the sweep, which refuses the first one's mistakes for all.

    Other jobs check their own settings: a launcher's process has to return an error, and must not exit.
    """
    return str(hydra.launcher["_target_"]).endswith("BasicLauncher")


def is_plain(sweeper: Any) -> bool:
    """Return whether a sweeper is Hydra's own, which knows all jobs from the start."""
    return str(sweeper["_target_"]).endswith("BasicSweeper")
