"""Ranking metrics of one score under many weightings at once: sort once, re-weight often.

A bootstrap sample is a column of integer weights, so that a metric of two thousand samples costs a few passes over one
matrix instead of two thousand sorts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MIN_SENSITIVITY = 0.8  # of the partial AUC, as in ISIC 2024


@dataclass(frozen=True)
class Curve:
    """Weighted counts of positive predictions along the thresholds, from the highest score down.

    Equal scores share a threshold. ``T`` counts the distinct scores that a positive has, ``B`` the weightings.

    Attributes:
        tp: ``(T, B)`` positives at and above the threshold.
        gained: ``(T, B)`` positives at the threshold itself.
        fp_before: ``(T, B)`` negatives above the threshold.
        fp: ``(T, B)`` negatives at and above it.
        n_pos: ``(B,)`` all positives.
        n_neg: ``(B,)`` all negatives.
    """

    tp: Floats
    gained: Floats
    fp_before: Floats
    fp: Floats
    n_pos: Floats
    n_neg: Floats

    def average_precision(self) -> Floats:
        """Return the step-wise average precision of each weighting, NaN without positives (scikit-learn's estimator).

        >>> score, truth = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
        >>> Ranking(score, truth).curve(np.ones((3, 1))).average_precision().round(4)
        array([0.8333])
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(self.gained > 0, self.tp / (self.tp + self.fp), 0)
            return np.asarray((precision * self.gained).sum(0) / self.n_pos)

    def auroc(self) -> Floats:
        """Return the area under the ROC curve, ties counting half; NaN without positives or negatives."""
        with np.errstate(invalid="ignore", divide="ignore"):
            above = self.n_neg - (self.fp_before + self.fp) / 2
            return np.asarray((self.gained * above).sum(0) / (self.n_pos * self.n_neg))

    def partial_auroc(self, min_sensitivity: float = MIN_SENSITIVITY) -> Floats:
        """Return the area between the ROC curve and a sensitivity, at most ``1 - min_sensitivity`` (ISIC 2024)."""
        below = (self.tp <= min_sensitivity * self.n_pos).sum(0).min(initial=len(self.tp))  # in all weightings
        tp, gained, fp_before, fp = (each[below:] for each in (self.tp, self.gained, self.fp_before, self.fp))
        with np.errstate(invalid="ignore", divide="ignore"):
            start, end = (tp - gained) / self.n_pos, tp / self.n_pos
            left, right = 1 - fp_before / self.n_neg, 1 - fp / self.n_neg  # specificity at start and end
            entry = np.clip((min_sensitivity - start) / (end - start), 0, 1)
            inside = np.where(gained > 0, (end - start) * (1 - entry), 0)
            mean = np.where(gained > 0, (left + (right - left) * (1 + entry) / 2), 0)
            return np.asarray(np.where(self.n_pos > 0, (inside * mean).sum(0), np.nan) + 0 * self.n_neg / self.n_neg)

    def mean_sensitivity(self, low: float, high: float) -> Floats:
        """Return the mean sensitivity over the specificities from `low` to `high`: a partial AUC over its width.

        McClish (1989). NaN without positives or negatives.

        >>> score, truth = np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False])
        >>> Ranking(score, truth).curve(np.ones((4, 1))).mean_sensitivity(0.25, 0.75).round(2)
        array([0.75])
        """
        first, last = 1 - high, 1 - low  # rates of false positives

        def area(rate: Floats) -> Floats:
            """Return the integral, from 0 to a rate, of what of the range lies behind a rate."""
            inside = np.clip(rate, first, last)
            reached = last * (inside - first) - (inside**2 - first**2) / 2
            return np.asarray((last - first) * np.minimum(rate, first) + reached)

        with np.errstate(invalid="ignore", divide="ignore"):
            start, end = self.fp_before / self.n_neg, self.fp / self.n_neg
            tied = (area(end) - area(start)) / (end - start)  # a positive's rate is anywhere between those of its ties
            behind = np.where(end > start, tied, last - np.clip(start, first, last))
            return np.asarray((self.gained * behind).sum(0) / (self.n_pos * (last - first)))


class Ranking:
    """The order of one score, kept for many weightings.

    Args:
        score: ``(N,)``, higher is more positive.
        truth: ``(N,)`` whether each row is positive.
    """

    def __init__(self, score: Floats, truth: npt.NDArray[np.bool_]) -> None:
        order = np.argsort(-score, kind="stable")
        falling, positive = -score[order], truth[order]
        self.positives, self.negatives = order[positive], order[~positive]
        at = falling[positive]
        self.first = np.flatnonzero(np.r_[True, at[1:] != at[:-1]]) if len(at) else np.zeros(0, np.intp)
        self.thresholds = -at[self.first]
        below = falling[~positive]
        before, until = (np.searchsorted(below, at[self.first], side=side) for side in ("left", "right"))
        cuts = np.unique(np.r_[0, before, until])
        self.cuts = cuts[cuts < len(below)]  # where the negatives are cut into runs between thresholds
        self.before, self.until = np.searchsorted(self.cuts, before), np.searchsorted(self.cuts, until)

    def curve(self, weights: Floats) -> Curve:
        """Return the weighted counts.

        Args:
            weights: ``(N, B)``, a column a weighting.
        """
        gained = _sums(weights[self.positives], self.first)
        runs = _sums(weights[self.negatives], self.cuts)
        negatives = np.zeros((len(runs) + 1, weights.shape[1]))
        np.cumsum(runs, axis=0, out=negatives[1:])
        return Curve(
            tp=np.cumsum(gained, axis=0),
            gained=gained,
            fp_before=negatives[self.before],
            fp=negatives[self.until],
            n_pos=gained.sum(0),
            n_neg=negatives[-1],
        )


def _sums(weights: Floats, starts: npt.NDArray[np.intp]) -> Floats:
    """Return the sum of each run of rows, which begin at ``starts``, of weights ``(N, B)``."""
    return np.asarray(np.add.reduceat(weights, starts, axis=0)) if len(starts) else weights[:0]
