"""Two systems on the same rows: the difference of every metric, paired by bootstrap sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from skinlab.evaluation.evidence import form as evidence_form
from skinlab.evaluation.metrics.registry import direction, metric_in_sentence
from skinlab.evaluation.statistics.bootstrap import LEVEL, BootstrapSamples
from skinlab.evaluation.statistics.intervals import Interval

POWER = 0.8


@dataclass(frozen=True)
class Comparison:
    """How much a metric of system ``a`` exceeds that of system ``b``.

    Attributes:
        difference: a minus b with its paired interval.
        p: two-sided bootstrap p of no difference.
        p_holm: the same after Holm's correction over all comparisons made together.
        detectable: the smallest true difference that these rows would show with 80 % power at the level.
    """

    a: str
    b: str
    metric: str
    difference: Interval
    p: float
    p_holm: float
    detectable: float

    def to_dict(self, level: float = LEVEL) -> evidence_form.Comparison:
        """Return plain values and the sentence by their names in ``evidence.json``."""
        return cast("evidence_form.Comparison", asdict(self) | {"sentence": self.sentence(level)})

    def sentence(self, level: float = LEVEL) -> str:
        """Return the result of the comparison as a sentence."""
        value, low, high = self.difference.value, self.difference.low, self.difference.high
        metric = metric_in_sentence(self.metric)
        span = f"{value:+.3f} [{low:+.3f}, {high:+.3f}], corrected p = {self.p_holm:.3g}".replace("-", "\N{MINUS SIGN}")
        if not np.isfinite(self.p):
            return f"{self.a} and {self.b} can't be compared by {metric}: it has no value here."
        if value == low == high == 0:
            return f"{self.a} and {self.b} have the same {metric} on every bootstrap sample."
        if self.p_holm <= 1 - level:
            higher, lower = (self.a, self.b) if value > 0 else (self.b, self.a)
            if direction(self.metric) == "min":
                return f"{lower} has a lower, better {metric} than {higher}: {self.a} minus {self.b} is {span}."
            return f"{higher} has a higher {metric} than {lower}: {self.a} minus {self.b} is {span}."
        alone = " Its interval excludes zero, but counts this comparison alone." if low * high > 0 else ""
        return (
            f"No evidence that {self.a} and {self.b} differ in {metric}: {span}; a true difference under "
            f"{self.detectable:.3f} is below the detectable difference (80 % power).{alone}"
        )


def compare(
    systems: Sequence[tuple[str, BootstrapSamples]],
    metrics: Sequence[str],
    level: float = LEVEL,
    reference: str | None = None,
) -> list[Comparison]:
    """Compare every pair of systems, or each with a reference, on bootstrap samples that they share.

    p is twice the smaller share of samples on either side of zero, plus one sample (Davison and Hinkley, 1997), Holm's
    correction runs over all comparisons of the call. The detectable difference is (z₁₋ₐ/₂ + z_power) times the
    bootstrap standard error of the difference.

    Args:
        systems: name and bootstrap samples of each, made with one resampler and seed.
        metrics: names of the metrics to compare by.
        level: 1 - level is the error rate.
        reference: the system that all others are compared with, every pair by default.
    """
    pairs = [
        (a, b)
        for i, b in enumerate(systems)
        for a in systems[i + 1 :]
        if reference is None or reference in (a[0], b[0])
    ]
    found = []
    for (name_a, a), (name_b, b) in pairs:
        difference = a.minus(b)
        for metric in metrics:
            if metric in difference.estimate:
                samples = difference.values[metric]
                standard_error = float(np.nanstd(samples, ddof=1)) if np.isfinite(samples).sum() > 1 else np.nan
                detectable = float(ndtri((1 + level) / 2) + ndtri(POWER)) * standard_error
                interval = difference.interval(metric, level)
                found.append((name_a, name_b, metric, interval, _p_value(samples), detectable))
    adjusted = holm([row[4] for row in found])
    return [Comparison(*row[:5], p_holm, row[5]) for row, p_holm in zip(found, adjusted, strict=True)]


def _p_value(samples: npt.NDArray[np.float64]) -> float:
    known = samples[np.isfinite(samples)]
    if not len(known):
        return float("nan")
    fewer = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (fewer + 1) / (len(known) + 1)))


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
