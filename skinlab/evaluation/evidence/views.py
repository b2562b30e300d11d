"""Views of a system's predictions whose metrics are computed on parts or units of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.evidence.form import ThresholdRow
from skinlab.evaluation.metrics.metric import Place
from skinlab.evaluation.metrics.operating_points import OF_POSITIVE
from skinlab.evaluation.metrics.registry import shown_metrics
from skinlab.evaluation.metrics.scorer import MeanScorer, Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.thresholds.choice import positive_shares
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.evaluation.thresholds.operating import BinaryPredictions, row_thresholds

DRAWS = 100  # only for the share in which a metric is undefined; intervals come from the jackknife

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OperatingRule:
    """The rule of the headline, at whose thresholds decisions of the binary view are.

    Attributes:
        rule: such as ``f1``.
        thresholds: of each image, ``(N, R)``, see :class:`View`.
    """

    rule: str
    thresholds: Floats


def operating_rule(
    view: Predictions | None, table: Sequence[ThresholdRow] | None, thresholds: Sequence[FrozenThreshold], seed: int
) -> OperatingRule | None:
    """Return the rule of the headline, which is the first; None where there is none.

    Args:
        view: the positive classes against the others.
        table: of the rules.
        thresholds: of the same rules.
        seed: of the folds.
    """
    if view is None or not table:
        return None
    cross_fit = table[0]["applied_to"].startswith("cross-fitted")
    return OperatingRule(thresholds[0].rule, row_thresholds(view, thresholds[0], cross_fit=cross_fit, seed=seed))


@dataclass(frozen=True)
class View:
    """Predictions of one system in one view: all classes, or the positive ones against the others.

    Attributes:
        tables: of the same rows; metrics are the mean over them.
        names: of the metrics.
        thresholds: of the rule at which sensitivity, specificity, PPV, NPV and F1 of the positive are, ``(N, R)`` of
            each row, on the mean of the tables' probabilities; None for a probability of 0.5.
    """

    tables: Sequence[Predictions]
    names: list[str]
    thresholds: Floats | None = None

    def samples(self, rows: Bools, *, seed: int) -> BootstrapSamples:
        """Return the bootstrap samples of the metrics of some rows, averaged over the tables."""
        parts = [table.take(rows) for table in self.tables]
        first = parts[0]
        scorers = [Scorer(part.probabilities, part.target, part.classes, names=self.names) for part in parts]
        resampler = Resampler(first.group, first.target, first.classes)
        statistic: MeanScorer | AtRule = MeanScorer(scorers)
        if self.thresholds is not None:
            predicted = positive_shares(mean_predictions(parts).probabilities[:, -1], self.thresholds[rows])
            statistic = AtRule(MeanScorer(scorers), BinaryPredictions(predicted, first.target == 1))
        return bootstrap(statistic, resampler, n_draws=DRAWS, seed=seed)

    def groups_per_class(self, rows: Bools) -> npt.NDArray[np.int64]:
        """Return the number of groups of each class ``(C,)`` among some rows."""
        first = self.tables[0]
        group, target = first.group[rows].astype(str), first.target[rows]
        return np.array([len(np.unique(group[target == c])) for c in range(len(first.classes))])


class AtRule:
    """Metrics of a binary view, those of its decisions at a rule's threshold.

    Args:
        scorer: of all metrics, at a probability of 0.5.
        decisions: at the threshold.
    """

    def __init__(self, scorer: MeanScorer, decisions: BinaryPredictions) -> None:
        self.scorer, self.decisions = scorer, decisions

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → ``(B,)`` for weights ``(N, B)`` of the images."""
        found, at_rule = self.scorer(weights), self.decisions(weights)
        return found | {name: at_rule[name] for name in OF_POSITIVE if name in found}

    def shares(self) -> dict[str, Bools]:
        """Return name → the rows ``(N,)`` that a metric which is a share is taken over."""
        found, at_rule = self.scorer.shares(), self.decisions.shares()
        return found | {name: rows for name, rows in at_rule.items() if name in found}


def all_classes(tables: Sequence[Predictions], place: Place) -> View:
    """Return the view of all classes, with the metrics shown in a place."""
    return View(tables, [metric.name for metric in shown_metrics(place, "all")])


def positive_classes(views: Sequence[Predictions], place: Place, thresholds: Floats | None = None) -> View | None:
    """Return the view of the positive classes, with the metrics shown in a place; None where no class is positive.

    ``thresholds`` are those of the rule, see :class:`View`.
    """
    if not views:
        return None
    names = [metric.name for metric in shown_metrics(place, "positive")]
    per_class = shown_metrics(place if place == "subgroups" else "positive_view", "class")
    return View(views, [*names, *(f"{metric.name}/{views[0].classes[-1]}" for metric in per_class)], thresholds)
