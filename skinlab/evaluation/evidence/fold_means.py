"""Metrics of out-of-fold predictions, of all images together and as the mean over the folds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.form import FoldMean
from skinlab.evaluation.evidence.rules import Decisions
from skinlab.evaluation.metrics.operating_points import operating_point
from skinlab.evaluation.metrics.registry import metric_in_sentence, shown_metrics
from skinlab.evaluation.metrics.scorer import MeanScorer, Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Statistic, bootstrap
from skinlab.evaluation.statistics.intervals import t_quantile

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class FoldMeanScorer:
    """The mean over the folds of every metric, under many weightings of the images.

    Args:
        folds: ``(N,)`` of each image.
        statistic: maps the numbers ``(n,)`` of some images to the metrics on them; one that a fold lacks, having no
            image of a class, is the mean over the others.
    """

    def __init__(self, folds: Ints, statistic: Callable[[Ints], Statistic]) -> None:
        self.rows = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
        self.scorers = [statistic(rows) for rows in self.rows]
        whole = [scorer(np.ones((len(rows), 1))) for scorer, rows in zip(self.scorers, self.rows, strict=True)]
        self.known = {name: [bool(np.isfinite(each[name][0])) for each in whole] for name in whole[0]}

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → ``(B,)`` for weights ``(N, B)`` of the images."""
        each = [scorer(weights[rows]) for scorer, rows in zip(self.scorers, self.rows, strict=True)]
        return {
            name: np.mean([found[name] for found, has in zip(each, known, strict=True) if has], axis=0)
            for name, known in self.known.items()
            if any(known)
        }


def fold_means(
    tables: Sequence[Predictions], pooled: BootstrapSamples, decisions: Sequence[Decisions] = (), *, level: float
) -> tuple[dict[str, FoldMean], list[str]]:
    """Return metrics of all images together beside their means over the folds, and a caution where they disagree.

    Models of different folds may give probabilities of different scales. The images of all folds together then are
    ranked worse than those of each (Parker, Günter and Bedo, 2007; Forman and Scholz, 2010), and neither number is that
    of one model: a metric is named where the two differ by more than a standard error, and by more than chance.

    Args:
        tables: out-of-fold predictions of the same rows, one a training.
        pooled: the samples of all images together.
        decisions: those by the system's rules, which their metrics are of.
        level: of the intervals.
    """
    names = [metric.name for metric in shown_metrics("terminal", "all", "positive")]
    folds = tables[0].fold
    scorer = MeanScorer([FoldMeanScorer(folds, partial(_part_scorer, table, names)) for table in tables])
    found = _beside(pooled, scorer, names, level)
    for each in decisions:
        own = each.samples(np.arange(len(folds)), n_draws=0, seed=pooled.seed)
        shown = [name for name in names if name in each.names]
        found |= _beside(own, FoldMeanScorer(folds, each.statistic), shown, level, each.point)
    apart = {name: row for name, (row, is_apart) in found.items() if is_apart}
    rows = {name: found[name][0] for name in [*names, *found] if name in found}
    return rows, [_caution(apart)] if apart else []


def _part_scorer(table: Predictions, names: Collection[str], part: Ints) -> Scorer:
    return Scorer(table.probabilities[part], table.target[part], table.classes, names=names)


def _beside(
    pooled: BootstrapSamples, folds: Statistic, names: Sequence[str], level: float, point: str | None = None
) -> dict[str, tuple[FoldMean, bool]]:
    """Return metrics of all images together beside the means over the folds, and whether the two disagree."""
    means = bootstrap(folds, pooled.resampler, n_draws=0, seed=pooled.seed)
    differences = replace(pooled, values=means.values).minus(means)
    found: dict[str, tuple[FoldMean, bool]] = {}
    for name in (name for name in names if name in means.estimate):
        own, mean, difference = pooled.interval(name, level), means.interval(name, level), differences.interval(name)
        row: FoldMean = {
            "pooled": own.to_dict(),
            "mean": mean.to_dict(),
            "difference": difference.to_dict(),
            "operating_point": operating_point(name) if point is None else point,
        }
        far = abs(difference.value) > pooled.variance(name).standard_error
        error = t_quantile((1 + level) / 2, np.inf) * differences.variance(name).standard_error
        found[name] = row, bool(far and abs(difference.value) > error and not differences.no_interval(name))
    return found


def _caution(apart: Mapping[str, FoldMean]) -> str:
    parts = [
        f"{metric_in_sentence(name, point=row['operating_point'])} {row['pooled']['value']:.3f} of all images "
        f"together, {row['mean']['value']:.3f} on average over the folds"
        for name, row in apart.items()
    ]
    return (
        f"The folds disagree with their pool: {'; '.join(parts)}. The models of the folds give probabilities of "
        "different scales, or the folds have so few images of a class that its average precision is higher by chance: "
        "report both numbers, or calibrate each fold."
    )
