"""A job of a sweep that has ended, and what tells it from the others."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skinlab.json_files import read_json
from skinlab.processes.progress import clock
from skinlab.settings.recorded import read_recorded


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

    def cautions(self) -> list[str]:
        """Return the cautions of its evidence, none where it has none."""
        path = self.directory / "evidence.json"
        found = read_json(path, "evidence of a run", {"cautions": list}) if path.is_file() else {"cautions": []}
        return [str(caution) for caution in found["cautions"]]

    def time(self) -> str:
        """Return the time that it took as text."""
        return clock(self.seconds) if self.seconds else ""

    def monitor(self) -> str:
        """Return the name of the monitored metric, from a finished run's own files."""
        return str(self.metrics().get("monitor") or read_recorded(self.directory)["callbacks"]["monitor"])

    def name(self, differing: set[str]) -> str:
        """Return those of its overrides that not all jobs share; all of them where there are none."""
        return " ".join(each for each in self.overrides if each in differing) or " ".join(self.overrides)


def wandb_names(sweep: str, overrides: Sequence[str]) -> dict[str, str]:
    """Return the variables by which W&B groups and tags the run of a job; those that the user has set count.

    Args:
        sweep: folder of the sweep, whose name is that of the group.
        overrides: of the job; its choices, such as ``loss=focal``, are tags.

    >>> wandb_names("/x/sweeps/a", ["loss=focal", "data.root=/d", "seed=1"])
    {'WANDB_RUN_GROUP': 'a', 'WANDB_TAGS': 'sweep,loss=focal,seed=1'}
    """
    choices = [each for each in overrides if re.fullmatch(r"\w+=[\w-]{1,40}", each)]
    names = {"WANDB_RUN_GROUP": Path(sweep).name, "WANDB_TAGS": ",".join(["sweep", *choices])}
    return {name: value for name, value in names.items() if name not in os.environ}


def differing_overrides(jobs: Sequence[JobResult]) -> set[str]:
    """Return the overrides that not all jobs share."""
    return {each for job in jobs for each in job.overrides if not all(each in other.overrides for other in jobs)}
