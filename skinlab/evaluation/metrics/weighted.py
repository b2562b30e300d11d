"""Predictions under many weightings of their images at once: what every metric is computed from."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.metrics.ranking import Curve, Ranking
from skinlab.evaluation.metrics.recalibration import Logistic, slope_and_intercept
from skinlab.evaluation.predictions import probability_floor

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

N_BINS = 15


class PredictionArrays:
    """Probabilities and true classes, with what is sorted, binned or fitted once for all weightings.

    Args:
        probabilities: ``(N, C)``, rows sum to one.
        target: ``(N,)`` true class numbers.
        positive: number of the positive one of two classes.
        fit_weights: ``(N,)`` of the images in what is fitted, near which all weightings are; None for equal ones.
    """

    def __init__(self, probabilities: Floats, target: Ints, positive: int, fit_weights: Floats | None = None) -> None:
        self.probabilities, self.target, self.positive = probabilities, target, positive
        self.fit_weights = fit_weights
        self.n, self.n_classes = probabilities.shape
        self.predicted, self.confidence = probabilities.argmax(1), probabilities.max(1)
        self.present = np.unique(target)  # the classes that have images

    @cached_property
    def one_hot(self) -> Floats:
        """True classes ``(N, C)``."""
        return np.asarray(self.target[:, None] == np.arange(self.n_classes), np.float64)

    @cached_property
    def floor(self) -> float:
        """What a smaller probability counts as in a logarithm."""
        return probability_floor(self.probabilities)

    @cached_property
    def cells(self) -> Floats:
        """The cell of the confusion matrix of each image, ``(C * C, N)``."""
        return in_bins(self.target * self.n_classes + self.predicted, np.ones(self.n), self.n_classes**2)

    @cached_property
    def rankings(self) -> list[Ranking]:
        """The order of the images by the probability of each class."""
        return [Ranking(self.probabilities[:, i], self.one_hot[:, i] > 0) for i in range(self.n_classes)]

    @cached_property
    def recalibrations(self) -> list[tuple[Logistic, Logistic]]:
        """The regressions behind the calibration slope and intercept of each class."""
        return [
            slope_and_intercept(self.probabilities[:, i], self.one_hot[:, i], self.fit_weights)
            for i in range(self.n_classes)
        ]

    @cached_property
    def overconfidence(self) -> Floats:
        """Confidence of each prediction less whether it is right, ``(N,)``."""
        return np.asarray(self.confidence - (self.predicted == self.target))

    @cached_property
    def equal_width_bins(self) -> Floats:
        """Overconfidence in bins of equal width of the confidence, ``(15, N)``."""
        place = np.clip(np.ceil(self.confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
        return in_bins(place, self.overconfidence, N_BINS)

    @cached_property
    def equal_count_bins(self) -> Floats:
        """Overconfidence in bins of equally many images, ``(15, N)``."""
        edges = np.quantile(self.confidence, np.linspace(0, 1, N_BINS + 1)[1:-1])
        return in_bins(np.searchsorted(edges, self.confidence, side="left"), self.overconfidence, N_BINS)


class WeightedPredictions:
    """Predictions under B weightings of their images; with integer weights an image counts that many times.

    Args:
        arrays: the predictions.
        weights: ``(N, B)``, a column a weighting, such as the counts of a bootstrap sample.
    """

    def __init__(self, arrays: PredictionArrays, weights: Floats) -> None:
        self.arrays, self.weights = arrays, weights
        self._known: dict[Callable[[WeightedPredictions], Floats], Floats] = {}

    def of(self, compute: Callable[[WeightedPredictions], Floats]) -> Floats:
        """Return what a function computes from these predictions, computed once however many metrics use it."""
        if compute not in self._known:
            self._known[compute] = compute(self)
        return self._known[compute]

    def mean(self, rows: Floats) -> Floats:
        """Return the weighted mean over the images, ``(B,)`` of ``(N,)`` or ``(K, B)`` of ``(K, N)``."""
        return np.asarray(rows @ self.weights / self.total)

    @cached_property
    def total(self) -> Floats:
        """Sum of the weights ``(B,)``."""
        return np.asarray(self.weights.sum(0))

    @cached_property
    def confusion(self) -> Floats:
        """Images of each true class by predicted class, ``(C, C, B)``."""
        c = self.arrays.n_classes
        return np.asarray(self.arrays.cells @ self.weights).reshape(c, c, -1)

    @cached_property
    def support(self) -> Floats:
        """Images of each class ``(C, B)``."""
        return np.asarray(self.confusion.sum(1))

    @cached_property
    def predicted(self) -> Floats:
        """Images that are predicted to be of each class ``(C, B)``."""
        return np.asarray(self.confusion.sum(0))

    @cached_property
    def hits(self) -> Floats:
        """Images of each class that are predicted right ``(C, B)``."""
        return np.asarray(np.einsum("iib->ib", self.confusion))

    @cached_property
    def curves(self) -> list[Curve]:
        """Counts along the thresholds of each class."""
        return [ranking.curve(self.weights) for ranking in self.arrays.rankings]


def in_bins(bin_of_row: Ints, value: Floats, n_bins: int) -> Floats:
    """Return ``(n_bins, N)`` with each row's value in its bin.

    >>> in_bins(np.array([1, 0]), np.array([0.5, 2.0]), 2).tolist()
    [[0.0, 2.0], [0.5, 0.0]]
    """
    rows = np.zeros((n_bins, len(value)))
    rows[bin_of_row, np.arange(len(value))] = value
    return rows
