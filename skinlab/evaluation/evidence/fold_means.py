"""Metrics of out-of-fold predictions, of all images together and as the mean over the folds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.form import FoldMean
from skinlab.evaluation.metrics.registry import metric_in_sentence, shown_metrics
from skinlab.evaluation.metrics.scorer import MeanScorer, Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, bootstrap
from skinlab.evaluation.statistics.intervals import t_quantile

Floats = npt.NDArray[np.float64]


class FoldMeanScorer:
    """The mean over the folds of every metric, under many weightings of the images.

    Args:
        predictions: out-of-fold predictions.
        names: metrics to compute; one that a fold lacks, having no image of a class, is the mean over the others.
    """

    def __init__(self, predictions: Predictions, names: Collection[str]) -> None:
        self.rows = [np.flatnonzero(predictions.fold == fold) for fold in np.unique(predictions.fold)]
        parts = [predictions.take(rows) for rows in self.rows]
        self.scorers = [Scorer(part.probabilities, part.target, part.classes, names=names) for part in parts]
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
    tables: Sequence[Predictions], pooled: BootstrapSamples, *, level: float
) -> tuple[dict[str, FoldMean], list[str]]:
    """Return metrics of all images together beside their means over the folds, and a caution where they disagree.

    Models of different folds may give probabilities of different scales. The images of all folds together then are
    ranked worse than those of each (Parker, Günter and Bedo, 2007; Forman and Scholz, 2010), and neither number is that
    of one model: a metric is named where the two differ by more than a standard error, and by more than chance.

    Args:
        tables: out-of-fold predictions of the same rows, one a training.
        pooled: the samples of all images together.
        level: of the intervals.
    """
    names = [metric.name for metric in shown_metrics("terminal", "all", "positive")]
    scorer = MeanScorer([FoldMeanScorer(table, names) for table in tables])
    means = bootstrap(scorer, pooled.resampler, n_draws=0, seed=pooled.seed)
    differences = replace(pooled, values=means.values).minus(means)
    found: dict[str, FoldMean] = {}
    apart: dict[str, tuple[float, float]] = {}
    for name in means.estimate:
        own, mean, difference = pooled.interval(name, level), means.interval(name, level), differences.interval(name)
        found[name] = {"pooled": own.to_dict(), "mean": mean.to_dict(), "difference": difference.to_dict()}
        far = abs(difference.value) > pooled.variance(name).standard_error
        error = t_quantile((1 + level) / 2, np.inf) * differences.variance(name).standard_error
        if far and abs(difference.value) > error and not differences.no_interval(name):
            apart[name] = own.value, mean.value
    return found, [_caution(apart)] if apart else []


def _caution(apart: Mapping[str, tuple[float, float]]) -> str:
    parts = [
        f"{metric_in_sentence(name)} {pooled:.3f} of all images together, {mean:.3f} on average over the folds"
        for name, (pooled, mean) in apart.items()
    ]
    return (
        f"The folds disagree with their pool: {'; '.join(parts)}. The models of the folds give probabilities of "
        "different scales, or the folds have so few images of a class that its average precision is higher by chance: "
        "report both numbers, or calibrate each fold."
    )
