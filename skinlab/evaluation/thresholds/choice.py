"""Thresholds of a score: choice, interval, and predictions at thresholds that were chosen on other rows.

A row is predicted positive at ``score >= threshold``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.statistics.folds import group_folds, out_of_fold
from skinlab.evaluation.statistics.intervals import independent_images, t_quantile, wilson_interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SLACK = 1e-9  # of a row: 0.95 * 20 positives are 19, whatever the floating point says
N_REPEATS = 10  # divisions into folds that cross-fitted metrics are averaged over
DIGITS = 12  # to which F1s and costs are compared
MIX_RULES = ("f1", "cost")  # whose threshold depends on the share of positives
FIXED, FIXED_BEFOREHAND = "p", "fixed beforehand"  # kind of a rule that is the threshold itself, and where it is from


def parse_rule(rule: str) -> tuple[str, float]:
    """Return a rule's kind and its level (NaN for ``f1`` and ``cost``); ValueError for what is no rule.

    >>> parse_rule("sensitivity>=0.95"), parse_rule("p>=0.3")
    (('sensitivity', 0.95), ('p', 0.3))
    """
    if rule in ("f1", "cost"):
        return rule, float("nan")
    found = re.fullmatch(r"(sensitivity|specificity|p)\s*>=\s*(\d*\.?\d+)", rule)
    if found is None or not 0 < float(found[2]) <= 1:
        number = re.fullmatch(r"\d*\.?\d+", re.sub(r"^(p\s*)?>?=?\s*|\s*%$", "", rule))
        share = float(number[0]) if number else 0.0
        percent = f", since {share:g} % is {share / 100:g}" if share > 1 else ""
        raise ValueError(
            f"threshold rule '{rule}' is unknown: a fixed threshold is written p>={share / (100 if percent else 1):g}"
            f"{percent}"
            if 0 < share <= 100
            else f"threshold rule '{rule}' is unknown: use f1, cost, sensitivity>=S or specificity>=S with 0 < S <= 1, "
            "or a fixed threshold, as in p>=0.3"
        )
    return found[1], float(found[2])


def is_fixed(rule: str) -> bool:
    """Return whether a rule is a threshold that was fixed beforehand: no images have a part in it.

    >>> is_fixed("p>=0.3"), is_fixed("specificity>=0.9")
    (True, False)
    """
    return re.match(rf"{FIXED}\s*>=", rule) is not None


def positive_score(probabilities: Floats, classes: Sequence[str], positive: Sequence[str]) -> Floats:
    """Return the score that a threshold for some classes is applied to: their summed probability.

    Args:
        probabilities: ``(..., C)``.
        classes: C names.
        positive: some of them.

    >>> positive_score(np.array([[0.5, 0.25, 0.25]]), ["bkl", "mel", "nv"], ["bkl", "mel"]).tolist()
    [0.75]
    """
    return np.asarray(np.clip(probabilities[..., np.isin(classes, positive)].sum(-1), 0, 1))


def choose_threshold(
    score: Floats,
    truth: Bools,
    rule: str,
    cost_ratio: float = 1.0,
    weights: Floats | None = None,
    prevalence: float | None = None,
) -> float:
    """Return the threshold that a rule chooses.

    - ``f1``: the best F1 of the positives. ``cost``: the least ``cost_ratio * false negatives + false positives``. Of
      equally good thresholds the lowest, which misses fewest.
    - ``sensitivity>=S``: the highest threshold that still finds that share of the positives.
    - ``specificity>=S``: the lowest threshold that still leaves that share of the negatives uncalled.
    - ``p>=T``: T, whatever the rows are.

    A chosen threshold lies midway between two neighbouring scores. Where all rows are to be positive it is the lowest
    score; where none is, just above the highest. So constant scores give that score (``f1``, ``sensitivity``: all are
    positive) or just above it (``specificity``: none is); ``cost`` takes the cheaper of the two.

    Args:
        score: ``(N,)``, higher is more positive.
        truth: ``(N,)`` whether each row is positive.
        rule: see above.
        cost_ratio: what a missed positive costs in false positives.
        weights: ``(N,)`` how often each row counts.
        prevalence: share of positives that the threshold is for; None: that of the rows. ``f1`` and ``cost`` depend on
            it, since sensitivity and specificity are taken to hold at any (Elkan, 2001, "The foundations of
            cost-sensitive learning").

    Raises:
        ValueError: no positives, no negatives, scores that are not finite, an unknown rule.

    >>> choose_threshold(np.array([0.1, 0.4, 0.6, 0.8]), np.array([False, True, False, True]), "sensitivity>=0.9")
    0.25
    """
    weight = np.ones(len(score)) if weights is None else np.asarray(weights, float)
    positives, negatives = float(weight @ truth), float(weight @ ~truth)
    if not (positives > 0 and negatives > 0):
        raise ValueError(
            f"a threshold needs positives and negatives, got {positives:g} and {negatives:g}:"
            " choose it on rows that hold both"
        )
    return float(choose_thresholds(score, truth, rule, weight[:, None], cost_ratio, prevalence)[0])


def choose_thresholds(
    score: Floats,
    truth: Bools,
    rule: str,
    weights: Floats,
    cost_ratio: float = 1.0,
    prevalence: float | None = None,
) -> Floats:
    """Return the threshold of each weighting, as ``choose_threshold`` does: one sort serves all.

    Args as there, but for weights ``(N, B)``, a column a weighting. Returns ``(B,)``; NaN where a weighting leaves no
    positives or no negatives.
    """
    kind, level = parse_rule(rule)
    if not np.isfinite(score).all():
        raise ValueError(f"{int((~np.isfinite(score)).sum())} scores are not finite: correct the table's probabilities")
    if cost_ratio <= 0:
        raise ValueError(f"cost_ratio={cost_ratio:g} must be above zero: give what a missed positive costs")
    if kind == FIXED:
        return np.full(weights.shape[1], level)
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    first = np.flatnonzero(np.r_[True, falling[1:] != falling[:-1]])
    mass = np.add.reduceat(weights[order], first, axis=0)
    found = np.add.reduceat(weights[order] * truth[order][:, None], first, axis=0)
    none = np.zeros((1, weights.shape[1]))
    tp = np.vstack([none, np.cumsum(found, axis=0)])
    fp = np.vstack([none, np.cumsum(mass - found, axis=0)])
    if prevalence is not None and kind in MIX_RULES:
        with np.errstate(invalid="ignore"):  # rounded, so that equally good thresholds stay equal
            tp = np.round(prevalence * tp / tp[-1], DIGITS)
            fp = np.round((1 - prevalence) * fp / fp[-1], DIGITS)
    predicted = _n_positive_levels(kind, level, tp, fp, cost_ratio)
    threshold = _between(falling[first], mass > 0, predicted)
    return np.asarray(np.where((tp[-1] > 0) & (fp[-1] > 0), threshold, np.nan))


def _n_positive_levels(kind: str, level: float, tp: Floats, fp: Floats, cost_ratio: float) -> Ints:
    """Return how many of the highest distinct scores are predicted positive, ``(B,)``, from counts ``(T + 1, B)``."""
    last = len(tp) - 1
    if kind == "sensitivity":
        return np.asarray((tp >= level * tp[-1] - SLACK).argmax(0))
    if kind == "specificity":
        return np.asarray(last - (fp <= (1 - level) * fp[-1] + SLACK)[::-1].argmax(0))
    if kind == "f1":
        with np.errstate(invalid="ignore"):
            return np.asarray(last - np.round(np.nan_to_num(2 * tp / (tp[-1] + tp + fp)), DIGITS)[::-1].argmax(0))
    cost = np.round(cost_ratio * (tp[-1] - tp) + fp, DIGITS)
    return np.asarray(last - cost[::-1].argmin(0))


def _between(level: Floats, present: Bools, predicted: Ints) -> Floats:
    """Return thresholds ``(B,)`` midway between the last positive score and the next, among the scores that count."""
    at, n = np.arange(len(level))[:, None], len(level)
    inside = at < predicted
    upper = np.where(present & inside, at, -1).max(0)
    lower = np.where(present & ~inside, at, n).min(0)
    high, low = level[upper], level[np.minimum(lower, n - 1)]
    middle = low + (high - low) / 2
    middle = np.where(middle > low, middle, high)  # neighbouring floats have no number between them
    return np.asarray(np.where(upper < 0, np.nextafter(low, np.inf), np.where(lower == n, high, middle)))


def threshold_interval(
    score: Floats, truth: Bools, groups: npt.NDArray[Any], rule: str, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the interval of a threshold that reaches a sensitivity or a specificity (Woodruff, 1952).

    Such a threshold is a quantile of the scores of a class. Its ends are the thresholds that reach the ends of
    Wilson's interval of the wanted share, with the number of independent images that the class is worth.
    The thresholds of ``f1`` and ``cost`` have none: they are where a step function has its maximum, which the bootstrap
    misses (Abrevaya and Huang, 2005; in simulations 95 % intervals held the best threshold in 78 to 91 %). A fixed one
    has none.

    ``groups`` is ``(N,)``, the rest as in ``choose_threshold``. None where there is no interval, or where the class has
    so few images that all of their scores may lie on one side of the threshold: under 36 for a share of 0.9.
    """
    kind, share = parse_rule(rule)
    if kind == FIXED:
        return None
    own = truth if kind == "sensitivity" else ~truth
    n = independent_images(rankdata(score[own]), pd.factorize(np.asarray(groups)[own])[0])
    if kind in MIX_RULES or n < MIN_GROUPS or share**n > (1 - level) / 2:
        return None
    shares = wilson_interval(share, n, t_quantile((1 + level) / 2, np.inf))
    low, high = sorted(choose_threshold(score, truth, f"{kind}>={each:.9f}") for each in shares)
    return low, high


def cross_fitted_thresholds(
    score: Floats,
    truth: Bools,
    groups: npt.NDArray[Any],
    rule: str,
    *,
    seed: int = 0,
    cost_ratio: float = 1.0,
    prevalence: float | None = None,
) -> Floats:
    """Return a threshold for each row ``(N,)``, chosen on other groups' rows, in five folds.

    Args as in :func:`choose_threshold`; ``groups`` is ``(N,)``, ``seed`` that of the folds.

    Raises:
        ValueError: the rows outside some fold hold no positives or no negatives.
    """
    return out_of_fold(
        group_folds(groups, truth, seed=seed),
        lambda held: choose_threshold(score[~held], truth[~held], rule, cost_ratio, prevalence=prevalence),
    )


def cross_fitted_predictions(score: Floats, *args: Any, **settings: Any) -> Bools:
    """Return which rows are predicted positive ``(N,)``, each at its own of :func:`cross_fitted_thresholds`."""
    return np.asarray(score >= cross_fitted_thresholds(score, *args, **settings))


def repeated_thresholds(
    score: Floats, *args: Any, n_repeats: int = N_REPEATS, seed: int = 0, **settings: Any
) -> Floats:
    """Return a row's thresholds in several divisions into folds, ``(N, R)``; see :func:`cross_fitted_thresholds`."""
    repeats = [cross_fitted_thresholds(score, *args, seed=seed + k, **settings) for k in range(n_repeats)]
    return np.stack(repeats, axis=1)


def positive_shares(score: Floats, thresholds: Floats) -> Floats:
    """Return in which share of its thresholds ``(N, R)`` a row is predicted positive, ``(N,)``.

    Metrics of these shares are those of the mean confusion matrix: they depend little on how the folds were cut. They
    err a little low, since each threshold is chosen on a part of the rows.

    >>> positive_shares(np.array([0.2, 0.6]), np.array([[0.1, 0.3], [0.5, 0.5]])).tolist()
    [0.5, 1.0]
    """
    return np.asarray((score[:, None] >= thresholds).mean(1))


def cross_fitted_shares(score: Floats, *args: Any, **settings: Any) -> Floats:
    """Return :func:`positive_shares` at :func:`repeated_thresholds`."""
    return positive_shares(score, repeated_thresholds(score, *args, **settings))
