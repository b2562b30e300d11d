"""The computation of every metric from weighted predictions: the project's one definition of each.

A function maps predictions under B weightings to ``(B,)``, or of a metric per class to ``(C, B)``, NaN where it is
undefined. What is reported under which name stands in :mod:`skinlab.evaluation.metrics.registry`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.metrics.weighted import WeightedPredictions

Floats = npt.NDArray[np.float64]
Compute = Callable[[WeightedPredictions], Floats]


def accuracy(w: WeightedPredictions) -> Floats:
    """Return the share of images that are predicted right."""
    return np.asarray(w.hits.sum(0) / w.support.sum(0))


def recall(w: WeightedPredictions) -> Floats:
    """Return the share of each class's images that are predicted to be of it."""
    return np.asarray(w.hits / w.support)


def f1(w: WeightedPredictions) -> Floats:
    """Return the harmonic mean of recall and precision; NaN for a class without images."""
    return np.where(w.support > 0, 2 * w.hits / (w.support + w.predicted), np.nan)


def specificity(w: WeightedPredictions) -> Floats:
    """Return the share of the other classes' images that are not predicted to be of the class."""
    return np.asarray(1 - (w.predicted - w.hits) / (w.support.sum(0) - w.support))


def precision(w: WeightedPredictions) -> Floats:
    """Return the share of a class's predictions that are right; NaN where it is never predicted."""
    return np.asarray(w.hits / w.predicted)


def npv(w: WeightedPredictions) -> Floats:
    """Return the share of the predictions of other classes that are right in not being the class."""
    total = w.support.sum(0)
    return np.asarray((total - w.support - (w.predicted - w.hits)) / (total - w.predicted))


def mcc(w: WeightedPredictions) -> Floats:
    """Return Matthews' correlation for any number of classes (Gorodkin, 2004); 0 where one class alone is there."""
    total = w.support.sum(0)
    spread = np.sqrt((total**2 - (w.predicted**2).sum(0)) * (total**2 - (w.support**2).sum(0)))
    return np.where(spread > 0, (w.hits.sum(0) * total - (w.predicted * w.support).sum(0)) / spread, 0)


def average_precision(w: WeightedPredictions) -> Floats:
    """Return the area under the steps of each class's precision-recall curve, not the trapezoid."""
    return np.array([curve.average_precision() for curve in w.curves])


def auroc(w: WeightedPredictions) -> Floats:
    """Return the area under each class's ROC curve, the class against all others."""
    return np.array([curve.auroc() for curve in w.curves])


def partial_auroc(w: WeightedPredictions) -> Floats:
    """Return the area between each class's ROC curve and a sensitivity of 80 %, at most 0.2 (ISIC 2024)."""
    return np.array([curve.partial_auroc() for curve in w.curves])


def brier(w: WeightedPredictions) -> Floats:
    """Return the mean squared error of the probabilities as scikit-learn has it by default.

    Of two classes it is that of the positive one's probability, 0 to 1; of more it is summed over the classes, 0 to 2
    (Brier, 1950).
    """
    total = ((w.arrays.probabilities - w.arrays.one_hot) ** 2).sum(1)
    return w.mean(total / 2 if w.arrays.one_hot.shape[1] == 2 else total)


def log_loss(w: WeightedPredictions) -> Floats:
    """Return the mean negative logarithm of the true class's probability, at least the table's floor."""
    of_truth = w.arrays.probabilities[np.arange(w.arrays.n), w.arrays.target]
    return w.mean(-np.log(np.maximum(of_truth, w.arrays.floor)))


def ece(w: WeightedPredictions) -> Floats:
    """Return the expected calibration error over 15 bins of equal width (Guo et al., 2017)."""
    return np.asarray(np.abs(w.mean(w.arrays.equal_width_bins)).sum(0))


def adaptive_ece(w: WeightedPredictions) -> Floats:
    """Return the calibration error over 15 bins of equally many images (Nguyen and O'Connor, 2015)."""
    return np.asarray(np.abs(w.mean(w.arrays.equal_count_bins)).sum(0))


def calibration_slope(w: WeightedPredictions) -> Floats:
    """Return the slope of the truth on the logit of each class's probability (Cox, 1958)."""
    return np.array([slope.step(slope.rows @ w.weights) for slope, _ in w.arrays.recalibrations])


def calibration_intercept(w: WeightedPredictions) -> Floats:
    """Return the intercept of the same regression with the slope held at 1 (Van Calster et al., 2016)."""
    return np.array([intercept.step(intercept.rows @ w.weights) for _, intercept in w.arrays.recalibrations])


def support(w: WeightedPredictions) -> Floats:
    """Return the number of images of each class."""
    return w.support


def macro(of_classes: Compute) -> Compute:
    """Return the mean of a metric over the classes that the table has; NaN where a weighting loses one of them."""

    def mean(w: WeightedPredictions) -> Floats:
        return np.asarray(w.of(of_classes)[w.arrays.present].mean(0))

    return mean


def positive(of_classes: Compute) -> Compute:
    """Return a metric of the positive one of two classes."""
    return lambda w: w.of(of_classes)[w.arrays.positive]


def negative(of_classes: Compute) -> Compute:
    """Return a metric of the other one of two classes."""
    return lambda w: w.of(of_classes)[1 - w.arrays.positive]
