"""Views of a system's predictions whose metrics are computed on parts or units of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.metrics.metric import Place
from skinlab.evaluation.metrics.registry import shown_metrics
from skinlab.evaluation.metrics.scorer import MeanScorer, Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler, bootstrap

DRAWS = 100  # only for the share in which a metric is undefined; intervals come from the jackknife

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """Predictions of one system in one view: all classes, or the positive ones against the others.

    Attributes:
        tables: of the same rows; metrics are the mean over them.
        names: of the metrics.
    """

    tables: Sequence[Predictions]
    names: list[str]

    def samples(self, rows: Bools, *, seed: int) -> BootstrapSamples:
        """Return the bootstrap samples of the metrics of some rows, averaged over the tables."""
        parts = [table.take(rows) for table in self.tables]
        first = parts[0]
        scorers = [Scorer(part.probabilities, part.target, part.classes, names=self.names) for part in parts]
        resampler = Resampler(first.group, first.target, first.classes)
        return bootstrap(MeanScorer(scorers), resampler, n_draws=DRAWS, seed=seed)

    def groups_per_class(self, rows: Bools) -> npt.NDArray[np.int64]:
        """Return the number of groups of each class ``(C,)`` among some rows."""
        first = self.tables[0]
        group, target = first.group[rows].astype(str), first.target[rows]
        return np.array([len(np.unique(group[target == c])) for c in range(len(first.classes))])


def all_classes(tables: Sequence[Predictions], place: Place) -> View:
    """Return the view of all classes, with the metrics shown in a place."""
    return View(tables, [metric.name for metric in shown_metrics(place, "all")])


def positive_classes(views: Sequence[Predictions], place: Place) -> View | None:
    """Return the view of the positive classes, with the metrics shown in a place; None where no class is positive."""
    if not views:
        return None
    names = [metric.name for metric in shown_metrics(place, "positive")]
    per_class = shown_metrics(place if place == "subgroups" else "positive_view", "class")
    return View(views, [*names, *(f"{metric.name}/{views[0].classes[-1]}" for metric in per_class)])
