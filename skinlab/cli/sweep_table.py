"""The table that a sweep ends with: its jobs by the monitored metric, and the command that evaluates them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from skinlab.cli.job_log import LOG
from skinlab.errors import some
from skinlab.json_files import read_json
from skinlab.processes.progress import clock
from skinlab.settings.recorded import read_recorded

RANK_BY = "val/balanced_accuracy"  # where jobs differ in their loss
SHOWN = 3  # reasons of failures in the last line of a sweep


@dataclass(frozen=True)
class JobResult:
    """A job of a sweep that has ended.

    Attributes:
        number: of the job, from 1.
        directory: its run directory.
        overrides: its part of the command line.
        returncode: its exit code.
        seconds: that it took, 0 where that is not known.
        reason: why it failed, empty where it did not.
    """

    number: int
    directory: Path
    overrides: list[str]
    returncode: int
    seconds: float
    reason: str = ""

    def metrics(self) -> dict[str, Any]:
        """Return its metrics, empty where it has none."""
        path = self.directory / "metrics.json"
        found: dict[str, Any] = read_json(path, "metrics of a run", {}) if path.is_file() else {}
        return found

    def time(self) -> str:
        """Return the time that it took as text."""
        return clock(self.seconds) if self.seconds else ""

    def monitor(self) -> str:
        """Return the name of the monitored metric, from a finished run's own files."""
        return str(self.metrics().get("monitor") or read_recorded(self.directory)["callbacks"]["monitor"])


def print_table(name: str, jobs: Sequence[JobResult], folder: str) -> None:
    """Print the jobs, the best first, and how to evaluate them.

    Args:
        name: of the command.
        jobs: in the order in which they ran.
        folder: of the sweep.
    """
    console, found = Console(), [(job, job.metrics()) for job in jobs]
    finished = [(job, metrics) for job, metrics in found if job.returncode == 0 and "best/monitor" in metrics]
    failed = [job for job, metrics in found if job.returncode != 0 or "best/monitor" not in metrics]
    monitor = finished[0][0].monitor() if finished else "the monitor"
    differing = _differing([job.overrides for job in jobs])
    own = monitor == "val/loss" and any(each.startswith(("loss=", "loss.")) for each in differing)
    ranked = own and all(isinstance(metrics.get(RANK_BY), float) for _, metrics in finished)
    order = RANK_BY if ranked else monitor
    table = Table(title=f"{len(finished)} of {len(jobs)} jobs finished, the best by {order} first")
    table.add_column("job", overflow="fold")
    for words in ("run", *([RANK_BY] if ranked else []), monitor, "best epoch", "time"):
        table.add_column(words, justify="right")
    key, sign = "best/monitor", -1 if finished and finished[0][1].get("best/mode") == "max" else 1
    if ranked:
        key, sign = RANK_BY, -1
    for job, metrics in sorted(finished, key=lambda each: sign * each[1][key]):
        cells = (*([f"{metrics[RANK_BY]:.3f}"] if ranked else []), f"{metrics['best/monitor']:.4g}")
        row = (*cells, str(metrics["best/epoch"] + 1), job.time())
        table.add_row(_named(job, differing), job.directory.name, *row)
    for job in failed:
        cells = (f"exit code {job.returncode}", *([""] if ranked else []), "", job.time())
        table.add_row(_named(job, differing), job.directory.name, *cells)
    console.print(table)
    if own:
        why = f"the order is by {RANK_BY}" if ranked else "this order says nothing; compare by another metric, as below"
        line = f"! val/loss is each loss's own: {why}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if name == "train" and finished:
        command = f"python -m skinlab.evaluate predictions={folder} output={folder}/evaluation"
        console.print(f"to compare them with intervals: {command}", soft_wrap=True, highlight=False, markup=False)


def describe_failures(jobs: Sequence[JobResult]) -> str:
    """Return in one line which jobs have failed and why; jobs that failed for the same reason are named together.

    Args:
        jobs: all that have ended.
    """
    reasons: dict[str, list[JobResult]] = {}
    for job in jobs:
        if job.returncode != 0:
            reasons.setdefault(job.reason, []).append(job)
    differing, alike = _differing([job.overrides for job in jobs]), _failed_alike(jobs)
    parts = []
    for reason, failed in reasons.items():
        names = "" if alike else some(f"job {job.number} ({_named(job, differing)})" for job in failed) + ": "
        log = failed[0].directory / LOG
        parts.append(f"{names}{reason}" + (f" (log: {log})" if log.is_file() else ""))
    count = sum(map(len, reasons.values()))
    more = [f"{len(parts) - SHOWN} other reasons in their logs"] if len(parts) > SHOWN else []
    head = f"{'all' if alike else f'{count} of'} {len(jobs)} jobs failed: " if len(jobs) > 1 else ""
    return head + "; ".join([*parts[:SHOWN], *more])


def _failed_alike(jobs: Sequence[JobResult]) -> bool:
    """Return whether several jobs have all failed for one reason."""
    return len(jobs) > 1 and all(job.returncode != 0 for job in jobs) and len({job.reason for job in jobs}) == 1


class JobFailedError(RuntimeError):
    """Jobs of a sweep have failed.

    Args:
        line: which ones, why, and how to go on.
        code: exit code of the sweep.
        jobs: that have ended.
    """

    def __init__(self, line: str, code: int, jobs: Sequence[JobResult] = ()) -> None:
        super().__init__(line)
        self.code, self.jobs = code, tuple(jobs)

    def __reduce__(self) -> tuple[type[JobFailedError], tuple[str, int, tuple[JobResult, ...]]]:
        """Return how it is made again in the process that started a launcher's job."""
        return type(self), (str(self), self.code, self.jobs)

    @classmethod
    def of(cls, jobs: Sequence[JobResult], remedy: str) -> JobFailedError:
        """Return the error of a sweep of which some jobs have failed; its code is 2 if all of these are mistakes.

        The command that goes on is left out where all jobs have failed by the same mistake.
        """
        mistakes = all(job.returncode in (0, 2) for job in jobs)
        line, code = describe_failures(jobs), 2 if mistakes else 1
        if code == 2 and _failed_alike(jobs):
            return cls(line, code, jobs)
        return cls(f"{line}; finished jobs are kept; {remedy}", code, jobs)


def _differing(overrides: Sequence[Sequence[str]]) -> set[str]:
    """Return the overrides that not all jobs share."""
    return {each for of_job in overrides for each in of_job if not all(each in other for other in overrides)}


def _named(job: JobResult, differing: set[str]) -> str:
    return " ".join(each for each in job.overrides if each in differing) or " ".join(job.overrides)
