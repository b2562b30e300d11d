"""Corruptions of the acquisition: noise, blur, compression, light and colour at five severities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from skinlab.alterations.corruptions import ALL, SEVERITIES
from skinlab.battery.bench import Bench, examples
from skinlab.battery.model import Image
from skinlab.battery.probe import Findings, Probe, Shown, require_home
from skinlab.errors import UserError, nearest
from skinlab.evaluation.shift.flags import flag_changes
from skinlab.evaluation.shift.form import Condition


@dataclass(frozen=True)
class Acquisition(Probe):
    """Balanced error and calibration under each corruption, against the unaltered images.

    The balanced error is 1 minus the balanced accuracy; MedMNIST-C's relative balanced error is its increase.

    Args:
        corruptions: names in :data:`skinlab.alterations.corruptions.ALL`; None for all.
        severities: from 1 (mild) to 5.

    Raises:
        UserError: an unknown corruption or severity.
    """

    corruptions: Sequence[str] | None = None
    severities: Sequence[int] = SEVERITIES
    title: ClassVar[str] = "Acquisition"
    question: ClassVar[str] = "Does it stand another camera, another light, a careless photograph?"
    published: ClassVar[str] = (
        "Of the fifteen corruptions colour casts and blur harmed models of DermaMNIST most (arXiv 2406.17536)."
    )

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in ALL:
                raise UserError(
                    f"probe.acquisition.corruptions: {name} is none of {', '.join(ALL)}{nearest(name, ALL)}"
                )
        for severity in self.severities:
            if severity not in SEVERITIES:
                raise UserError(f"probe.acquisition.severities: {severity} is none of 1 to 5")

    @property
    def names(self) -> Sequence[str]:
        """The corruptions."""
        return list(ALL) if self.corruptions is None else self.corruptions

    def passes(self, bench: Bench) -> int:
        """Return how many images are predicted."""
        return len(require_home(bench)) * len(self.names) * len(self.severities)

    def run(self, bench: Bench) -> Findings:
        """Return the metrics under each corruption at each severity."""
        home, found = require_home(bench), Findings(reference="the unaltered images")
        shown = examples(home.rows, bench.yardstick.positive, 1)[0]
        for name in self.names:
            for severity in self.severities:
                alter = bench.random(partial(_corrupt, name, severity), name, severity)
                found.conditions.append(home.altered(name, f"severity {severity}", alter))
                found.pictures.append(Shown(name, f"severity {severity}", alter(home.pixels[shown], shown)))
        found.flags = flag_changes(found.conditions, "The corruption ")
        found.notes = [note for name in self.names if (note := _balanced_error(name, found.conditions))]
        return found


def _corrupt(name: str, severity: int, image: Image, rng: np.random.Generator) -> Image:
    return ALL[name](image, severity, rng)


def _balanced_error(name: str, conditions: Sequence[Condition]) -> str:
    """Return the balanced error of a corruption, the mean over its severities, and its increase."""
    own = [each for each in conditions if each["name"] == name and "balanced_accuracy" in each["metrics"]]
    if not own:
        return ""
    accuracy = np.mean([each["metrics"]["balanced_accuracy"]["value"] or np.nan for each in own])
    change = np.mean([each["changes"]["balanced_accuracy"]["difference"]["value"] or 0.0 for each in own])
    return f"{name}: balanced error {1 - accuracy:.3f}, relative to unaltered images {-change:+z.3f}"
