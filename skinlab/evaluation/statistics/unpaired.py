"""The difference of a metric between two sets of other images, such as two clinics or a subgroup and the rest."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from skinlab.evaluation.metrics.registry import direction
from skinlab.evaluation.statistics.bootstrap import LEVEL, N_DRAWS, BootstrapSamples
from skinlab.evaluation.statistics.hypotheses import DIFFERENCE, Hypothesis
from skinlab.evaluation.statistics.intervals import Interval

LEAST_P = 2 / (N_DRAWS + 1)  # as of paired comparisons
SMALLEST = 1e-6  # p at which the interval is looked at


def unpaired_difference(
    a: BootstrapSamples,
    b: BootstrapSamples,
    name: str,
    level: float = LEVEL,
    hypothesis: Hypothesis = DIFFERENCE,
    least_p: float = LEAST_P,
) -> tuple[Interval, float]:
    """Return a minus b with its interval and the p of a claim, which is that of no difference by default.

    The distances from both estimates to the ends of their own intervals are added in squares (MOVER; Newcombe, 1998,
    for shares, Zou and Donner, 2008, in general), so that the interval inherits their scale, degrees of freedom and
    behaviour near 0 and 1. p is one minus the level at which the interval ends at 0, or half of it at the margin. The
    sets share no group. Where they do (one patient's lesions in two subgroups), the metrics are positively correlated
    and the interval is too wide rather than too narrow.

    Args:
        a: bootstrap samples of one set of images.
        b: of the other.
        name: of the metric.
        level: coverage wanted.
        hypothesis: the claim.
        least_p: the smallest p that is reported.

    Returns:
        The interval, without ends and with the reason where one of the two has none; p, NaN in that case.
    """
    value = a.estimate[name] - b.estimate[name]
    ours, theirs = a.interval(name, level), b.interval(name, level)
    if not np.isfinite([ours.low, ours.high, theirs.low, theirs.high]).all():
        return Interval.none(value, next(each.note for each in (ours, theirs) if not np.isfinite(each.low))), np.nan
    low, high = _ends(ours, theirs)
    interval = Interval(value, low, high, ours.note or theirs.note)
    return interval, max(_p_value(a, b, name, hypothesis), least_p)


def difference_p(difference: BootstrapSamples, name: str, least_p: float = LEAST_P, expected: float = 0.0) -> float:
    """Return the p of no difference between two systems on the same images: one minus the level that ends at 0.

    Args:
        difference: their bootstrap samples, one minus the other's.
        name: of the metric.
        least_p: the smallest p that is reported.
        expected: value that is tested, such as 0.5 of the AUROC of one system.

    Returns:
        The p, NaN where the difference has no interval.
    """
    value = difference.estimate[name]

    def excluded(p: float) -> float:
        interval = difference.interval(name, 1 - p)
        return interval.low - expected if value > expected else expected - interval.high

    if not np.isfinite(excluded(0.5)):
        return float("nan")
    if value == expected or excluded(1 - SMALLEST) < 0:
        return 1.0
    return least_p if excluded(least_p) > 0 else float(brentq(excluded, least_p, 1 - SMALLEST, xtol=SMALLEST))


def _ends(a: Interval, b: Interval) -> tuple[float, float]:
    value = a.value - b.value
    below = np.hypot(a.value - a.low, b.high - b.value)
    above = np.hypot(a.high - a.value, b.value - b.low)
    return value - float(below), value + float(above)


def _p_value(a: BootstrapSamples, b: BootstrapSamples, name: str, hypothesis: Hypothesis) -> float:
    """Return the p of a claim, see :class:`Hypothesis`."""
    better, worse = (b, a) if direction(name) == "min" else (a, b)
    margin = hypothesis.margin
    if hypothesis.kind == "superiority":
        tails = _exceeds_p(better, worse, name, margin), _exceeds_p(worse, better, name, margin)
        return min(1.0, 2 * min(tails))
    not_worse = _exceeds_p(better, worse, name, -margin)
    return (
        not_worse if hypothesis.kind == "noninferiority" else max(not_worse, _exceeds_p(worse, better, name, -margin))
    )


def _exceeds_p(a: BootstrapSamples, b: BootstrapSamples, name: str, bound: float) -> float:
    """Return the one-sided p of "a minus b exceeds the bound": half of one minus the level at which it ends there."""
    sign = np.sign(a.estimate[name] - b.estimate[name] - bound)

    def excluded(p: float) -> float:
        low, high = _ends(a.interval(name, 1 - p), b.interval(name, 1 - p))
        return low - bound if sign > 0 else bound - high

    if sign == 0 or excluded(1 - SMALLEST) < 0:
        return 0.5
    p = SMALLEST if excluded(SMALLEST) > 0 else float(brentq(excluded, SMALLEST, 1 - SMALLEST, xtol=SMALLEST))
    return p / 2 if sign > 0 else 1 - p / 2
