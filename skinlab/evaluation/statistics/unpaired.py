"""The difference of a metric between two sets of other images, such as two clinics or a subgroup and the rest."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from skinlab.evaluation.statistics.bootstrap import LEVEL, BootstrapSamples
from skinlab.evaluation.statistics.intervals import Interval

LEAST_P = 1e-6


def unpaired_difference(
    a: BootstrapSamples, b: BootstrapSamples, name: str, level: float = LEVEL
) -> tuple[Interval, float]:
    """Return a minus b with its interval and the two-sided p of no difference.

    The distances from both estimates to the ends of their own intervals are added in squares (MOVER; Newcombe, 1998,
    for shares, Zou and Donner, 2008, in general), so that the interval inherits their scale, degrees of freedom and
    behaviour near 0 and 1. p is one minus the level at which the interval ends at 0. The sets share no group. Where
    they do (one patient's lesions in two subgroups), the metrics are positively correlated and the interval is too
    wide rather than too narrow.

    Args:
        a: bootstrap samples of one set of images.
        b: of the other.
        name: of the metric.
        level: coverage wanted.

    Returns:
        The interval, without ends and with the reason where one of the two has none; p, NaN in that case.
    """
    value = a.estimate[name] - b.estimate[name]
    ours, theirs = a.interval(name, level), b.interval(name, level)
    if not np.isfinite([ours.low, ours.high, theirs.low, theirs.high]).all():
        return Interval.none(value, next(each.note for each in (ours, theirs) if not np.isfinite(each.low))), np.nan
    low, high = _ends(ours, theirs)
    interval = Interval(value, low, high, ours.note or theirs.note)
    return interval, _p_value(a, b, name)


def _ends(a: Interval, b: Interval) -> tuple[float, float]:
    value = a.value - b.value
    below = np.hypot(a.value - a.low, b.high - b.value)
    above = np.hypot(a.high - a.value, b.value - b.low)
    return value - float(below), value + float(above)


def _p_value(a: BootstrapSamples, b: BootstrapSamples, name: str) -> float:
    """Return the smallest p at which the interval excludes zero."""
    sign = np.sign(a.estimate[name] - b.estimate[name])
    if sign == 0:
        return 1.0

    def nearest_end(p: float) -> float:
        low, high = _ends(a.interval(name, 1 - p), b.interval(name, 1 - p))
        return low if sign > 0 else -high

    if nearest_end(LEAST_P) > 0:
        return LEAST_P
    if nearest_end(1 - LEAST_P) < 0:
        return 1.0
    return float(brentq(nearest_end, LEAST_P, 1 - LEAST_P, xtol=1e-6))
