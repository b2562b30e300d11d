"""Report the jobs of a sweep that have failed, each reason once."""

from __future__ import annotations

from collections.abc import Sequence

from skinlab.cli.sweeps.job import JobResult, differing_overrides
from skinlab.cli.sweeps.job_log import LOG
from skinlab.errors import some

SHOWN = 3  # reasons of failures in the last line of a sweep


def describe_failures(jobs: Sequence[JobResult]) -> str:
    """Return in one line which jobs have failed and why; jobs that failed for the same reason are named together.

    Args:
        jobs: all that have ended.
    """
    reasons: dict[str, list[JobResult]] = {}
    for job in jobs:
        if job.returncode != 0:
            reasons.setdefault(job.reason, []).append(job)
    differing, alike = differing_overrides(jobs), _failed_alike(jobs)
    parts = []
    for reason, failed in reasons.items():
        names = "" if alike else some(f"job {job.number} ({job.name(differing)})" for job in failed) + ": "
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
