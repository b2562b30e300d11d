"""All metrics of a predictions table, under one or many weightings of its images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.metrics import registry as metric_registry
from skinlab.evaluation.metrics.weighted import PredictionArrays, WeightedPredictions

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def classification_metrics(
    probabilities: Floats,
    target: Ints,
    classes: Sequence[str],
    positive: str | None = None,
    names: Collection[str] | None = None,
) -> dict[str, float]:
    """Return name → metric for one table of predictions, see :class:`Scorer`.

    Raises:
        ValueError: no rows, or the shapes don't agree.

    >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    >>> round(classification_metrics(p, np.array([0, 1, 0]), ["nv", "mel"])["balanced_accuracy"], 2)
    0.75
    """
    found = Scorer(probabilities, target, classes, positive, names)(np.ones((len(target), 1)))
    return {name: float(value[0]) for name, value in found.items()}


class Scorer:
    """Every metric of a table of predictions, under many weightings of its images at once.

    What is a mean over images becomes a matrix product, what needs an order is sorted once, so that two thousand
    bootstrap samples cost seconds. With integer weights a metric is that of the table with each image so often in it.

    - The predicted class is the most probable one (the first of equals).
    - Macro averages are over the classes that have images (support), so that a table without a rare class is not
      punished for it. A metric without meaning is NaN: of an absent class, a precision where nothing was predicted.

    Args:
        probabilities: ``(N, C)``, rows sum to one.
        target: ``(N,)`` true class numbers.
        classes: C class names.
        positive: the positive one of two classes; the last if left out.
        names: metrics to compute, by their names in ``metrics.json``; all of the registry if left out.
        fit_weights: ``(N,)`` see :class:`PredictionArrays`.

    Raises:
        ValueError: no rows, or the shapes don't agree.
    """

    def __init__(
        self,
        probabilities: Floats,
        target: Ints,
        classes: Sequence[str],
        positive: str | None = None,
        names: Collection[str] | None = None,
        fit_weights: Floats | None = None,
    ) -> None:
        n, c = probabilities.shape
        if n == 0 or target.shape != (n,) or c != len(classes):
            raise ValueError(
                f"{n} rows x {c} classes of probabilities, {len(target)} targets, {len(classes)} class names"
            )
        place = list(classes).index(positive) if positive else c - 1
        self.arrays = PredictionArrays(probabilities, target, place, fit_weights)
        reported = metric_registry.reported_metrics(classes)
        self.metrics = {name: each for name, each in reported.items() if names is None or name in names}

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → ``(B,)`` for weights ``(N, B)`` of the images."""
        weighted, found = WeightedPredictions(self.arrays, weights), {}
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, (metric, place) in self.metrics.items():
                values = weighted.of(metric.compute)
                found[name] = values if place is None else values[place]
        return found

    def shares(self) -> dict[str, Bools]:
        """Return name → the rows ``(N,)`` that a metric which is a share is taken over."""
        a, found = self.arrays, {}
        for name, (metric, place) in self.metrics.items():
            of = a.positive if place is None else place
            masks = {"images": a.target >= 0, "class": a.target == of, "predicted": a.predicted == of}
            masks |= {"rest": ~masks["class"], "not predicted": ~masks["predicted"]}
            if metric.share_of is not None:
                found[name] = masks[metric.share_of]
        return found

    def contributions(self) -> dict[str, Floats]:
        """Return name → ``(N,)`` what each row adds to a metric that is a sum over rows, such as sensitivity."""
        a, found = self.arrays, {}
        support = np.bincount(a.target, minlength=a.n_classes)
        right = (a.predicted == a.target).astype(np.float64)
        for name, rows in self.shares().items():
            metric, place = self.metrics[name]
            if metric.share_of in ("images", "class", "rest"):
                negative = a.predicted != (a.positive if place is None else place)
                counted = negative.astype(np.float64) if metric.share_of == "rest" else right
                found[name] = counted * rows / max(rows.sum(), 1)
        for name, (metric, _) in self.metrics.items():
            if metric.like_share and metric.stratified:  # the mean of the classes' sensitivities
                found[name] = right / (support[a.target] * len(a.present))
        return found


class MeanScorer:
    """The mean of every metric over several tables of the same rows, such as the trainings of one recipe.

    Args:
        scorers: of the tables.
    """

    def __init__(self, scorers: Sequence[Callable[[Floats], Mapping[str, Floats]]]) -> None:
        self.scorers = scorers

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → ``(B,)`` for weights ``(N, B)`` of the images."""
        each = [scorer(weights) for scorer in self.scorers]
        return {name: np.mean([metrics[name] for metrics in each], axis=0) for name in each[0]}

    def shares(self) -> dict[str, Bools]:
        """Return the rows that shares are taken over, of the first table."""
        return dict(getattr(self.scorers[0], "shares", dict)())
