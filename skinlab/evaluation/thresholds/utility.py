"""Utility of predictions: net benefit, cost, predictive values at another prevalence, and abstention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from typing_extensions import TypedDict

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit along thresholds; ``(T,)``, or ``(T, B)`` for B weightings. Treating no row has net benefit zero.

    Attributes:
        threshold: ``(T,)`` probability at which one would act.
        net_benefit: of acting on the score, in true positives per row.
        treat_all: of acting on every row.
    """

    threshold: Floats
    net_benefit: Floats
    treat_all: Floats


class RiskCoverageCurve(TypedDict):
    """The error rate among the images that are kept, and its mean over coverages."""

    coverage: list[float]
    risk: list[float]
    aurc: float


def decision_curve(
    score: Floats, truth: Bools, thresholds: npt.ArrayLike, weights: Floats | None = None
) -> DecisionCurve:
    """Return the net benefit ``tp / n - fp / n * t / (1 - t)`` at each threshold (Vickers & Elkin, 2006).

    Args:
        score: ``(N,)`` probability of being positive; a row is predicted positive at ``score >= threshold``.
        truth: ``(N,)`` whether each row is positive.
        thresholds: ``(T,)``, at least zero and below one.
        weights: ``(N,)`` or ``(N, B)``, a column a weighting: bootstrap samples give the bands.

    Raises:
        ValueError: a threshold outside [0, 1).

    >>> decision_curve(np.array([0.9, 0.6, 0.2]), np.array([True, False, False]), [0.5]).net_benefit
    array([0.])
    """
    at = np.atleast_1d(np.asarray(thresholds, float))
    if not ((at >= 0) & (at < 1)).all():
        raise ValueError("a decision curve's thresholds are probabilities: give them at least 0 and below 1")
    weights = np.ones(len(score)) if weights is None else np.asarray(weights, float)
    levels, back = np.unique(at, return_inverse=True)
    n, steps = len(score), len(levels) + 1
    step = np.searchsorted(levels, score, side="right") + steps * truth  # negatives first, then positives
    member = csr_array((np.ones(n), (step, np.arange(n))), shape=(2 * steps, n))
    sums = (member @ weights.reshape(n, -1)).reshape(2, steps, -1)
    reached = sums[:, ::-1].cumsum(1)[:, ::-1]
    (fp, tp), (negatives, positives) = reached[:, 1:][:, back], reached[:, 0]
    odds, rows = (at / (1 - at))[:, None], negatives + positives
    with np.errstate(invalid="ignore"):
        net, treat_all = (tp - fp * odds) / rows, (positives - negatives * odds) / rows
    shape = at.shape + weights.shape[1:]
    return DecisionCurve(at, net.reshape(shape), treat_all.reshape(shape))


def expected_cost(
    sensitivity: npt.ArrayLike, specificity: npt.ArrayLike, prevalence: npt.ArrayLike, cost_ratio: float = 1.0
) -> Floats:
    """Return the mean cost per row, in false positives: each missed positive costs ``cost_ratio``.

    >>> round(float(expected_cost(0.9, 0.8, 0.1, cost_ratio=10)), 3)
    0.28
    """
    se, sp, share = _rates(sensitivity, specificity, prevalence)
    return np.asarray(cost_ratio * share * (1 - se) + (1 - share) * (1 - sp))


def ppv_at_prevalence(sensitivity: npt.ArrayLike, specificity: npt.ArrayLike, prevalence: npt.ArrayLike) -> Floats:
    """Return the PPV at another prevalence (Bayes); NaN where no row is predicted positive.

    Sensitivity and specificity are taken to hold there, which a change of the mix of cases can break.

    >>> float(ppv_at_prevalence(0.9, 0.9, 0.1).round(3))
    0.5
    """
    se, sp, share = _rates(sensitivity, specificity, prevalence)
    return _share(se * share, (1 - sp) * (1 - share))


def npv_at_prevalence(sensitivity: npt.ArrayLike, specificity: npt.ArrayLike, prevalence: npt.ArrayLike) -> Floats:
    """Return the NPV at another prevalence; NaN where all rows are predicted positive.

    >>> float(npv_at_prevalence(0.9, 0.9, 0.1).round(3))
    0.988
    """
    se, sp, share = _rates(sensitivity, specificity, prevalence)
    return _share(sp * (1 - share), (1 - se) * share)


def f1_at_prevalence(sensitivity: npt.ArrayLike, specificity: npt.ArrayLike, prevalence: npt.ArrayLike) -> Floats:
    """Return the F1 of the positives at another prevalence.

    >>> float(f1_at_prevalence(0.9, 0.9, 0.1).round(3))
    0.643
    """
    se, sp, share = _rates(sensitivity, specificity, prevalence)
    return _share(2 * se * share, share * (1 - se) + (1 - sp) * (1 - share))


def risk_coverage(confidence: Floats, correct: Bools, n_points: int = 100) -> RiskCoverageCurve:
    """Return the error among the rows kept when the least confident are left to a human (Geifman & El-Yaniv, 2017).

    Rows of equal confidence count as if taken in random order, so that the order of the table makes no difference.

    Args:
        confidence: ``(N,)``, such as the probability of the predicted class.
        correct: ``(N,)`` whether the prediction is right.
        n_points: coverages ``1 / n_points`` to 1.

    Returns:
        ``coverage``, ``risk`` (at least that coverage kept), and ``aurc``, the mean risk over keeping 1 to N rows
        (Geifman et al., 2019).

    Raises:
        ValueError: no rows.

    >>> risk_coverage(np.array([0.9, 0.8, 0.6, 0.5]), np.array([True, True, True, False]), n_points=2)
    {'coverage': [0.5, 1.0], 'risk': [0.0, 0.25], 'aurc': 0.0625}
    """
    n = len(confidence)
    if n == 0:
        raise ValueError("risk-coverage needs rows: the table has none")
    _, level, ties = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = np.bincount(level, weights=~correct)
    risk = np.cumsum(np.repeat(wrong / ties, ties)) / np.arange(1, n + 1)
    coverage = np.arange(1, n_points + 1) / n_points
    kept = np.ceil(coverage * n - 1e-9).astype(int)
    return {"coverage": coverage.tolist(), "risk": risk[kept - 1].tolist(), "aurc": float(risk.mean())}


def weighted_aurc(confidence: Floats, correct: Bools, weights: Floats) -> Floats:
    """Return the area under the risk-coverage curve of weighted rows, ``(B,)`` for weights ``(N, B)``.

    >>> correct = np.array([True, True, True, False])
    >>> weighted_aurc(np.array([0.9, 0.8, 0.6, 0.5]), correct, np.ones((4, 1)))
    array([0.0625])
    """
    order = np.argsort(-confidence, kind="stable")
    _, level = np.unique(-confidence[order], return_inverse=True)
    first = np.flatnonzero(np.r_[True, level[1:] != level[:-1]])
    w = weights[order]
    tied = np.add.reduceat(w, first, axis=0)
    wrong = np.add.reduceat(w * ~correct[order][:, None], first, axis=0)
    with np.errstate(invalid="ignore"):
        errors = (np.divide(wrong, tied, out=np.zeros_like(tied), where=tied > 0))[level] * w
        risk = errors.cumsum(0) / w.cumsum(0)
    return np.asarray(np.nansum(w * risk, axis=0) / w.sum(0))


def _rates(*rates: npt.ArrayLike) -> list[Floats]:
    arrays = [np.asarray(rate, float) for rate in rates]
    if any(((rate < 0) | (rate > 1)).any() for rate in arrays):
        raise ValueError("sensitivity, specificity and prevalence are shares: give them between 0 and 1")
    return arrays


def _share(part: Floats, rest: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.divide(part, part + rest))
