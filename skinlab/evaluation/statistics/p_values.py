"""p-values: Holm's correction, the intersection-union test, and how a p is written."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's (1979) adjusted p-values; NaN stays NaN and counts for nothing.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, float)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    p[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return [round(float(each), 12) for each in p]


def holm_by_family(p_values: Sequence[float], families: Sequence[Hashable]) -> list[float]:
    """Return :func:`holm` within each family.

    >>> holm_by_family([0.01, 0.04, 0.03], ["primary", "secondary", "secondary"])
    [0.01, 0.06, 0.06]
    """
    corrected = np.full(len(p_values), np.nan)
    for family in set(families):
        members = [i for i, each in enumerate(families) if each == family]
        corrected[members] = holm([p_values[i] for i in members])
    return [float(each) for each in corrected]


def intersection_union(p_values: Sequence[float], gains: Sequence[float]) -> float:
    """Return the p of "better than every control" or "worse than every control" (Berger, 1982).

    The claim holds only if each of its parts does, so that the largest p counts, without any correction for their
    number; where the gains have different signs neither claim can hold.

    >>> intersection_union([0.01, 0.04], [0.2, 0.1]), intersection_union([0.01, 0.04], [0.2, -0.1])
    (0.04, 1.0)
    """
    if not np.isfinite(p_values).all():
        return float("nan")
    return max(p_values) if min(gains) > 0 or max(gains) < 0 else 1.0


def p_in_words(p: Any, at_floor: bool = False) -> str:
    """Write a p with its sign; as a bound where the bootstrap samples support no smaller one.

    >>> p_in_words(0.0312), p_in_words(0.0009995, at_floor=True), p_in_words(0.00001), p_in_words(0.87)
    ('= 0.031', '≤ 0.001', '≤ 0.001', '= 0.87')
    """
    if p is None or not np.isfinite(p):
        return "unknown"
    if at_floor or p < 0.001:
        return f"≤ {max(p, 0.001):.2g}"
    return f"= {p:.2g}" if p < 0.1 else f"= {p:.2f}"
