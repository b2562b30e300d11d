"""Estimates whose variance has several parts: other images would have been drawn, other trainings run.

A difference of systems varies with the images (another test set has other lesions) and with the trainings (another seed
has other weights). Its variance is the sum of both parts, and each part has degrees of freedom of its own. The critical
value of Cochran and Cox (1950) weighs the quantiles of Student's t by the parts they belong to,

    c = (R · t_R + T · t_T) / (R + T).

Degrees of freedom of the sum after Satterthwaite (1946), with the estimated parts put in, are too many where trainings
are few: five comparisons of three seeds had a family error of up to .16 instead of .05. Two trainings give one degree
of freedom, at which the critical value above is too small as well; their quantiles are squared before they are weighed,
as in the intervals for sums of variances (Graybill and Wang, 1980). ``docs/statistics.md`` has the error rates of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import stdtrit

from skinlab.evaluation.statistics.intervals import Interval, Variance
from skinlab.evaluation.statistics.margins import Discordant, score_interval

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
MINUS = "\N{MINUS SIGN}"
POWER = 0.8
SMALLEST_TAIL = 1e-15
SIGN_TEST_GROUPS = 50  # above which the least p of a sign test does not matter
N_SIMULATED = 4000
ROUNDING = 1e-9  # of a level
MOST_P = 0.9  # by which an interval is widened; at p = 1 it would have no end
KNOWN = 1e6  # degrees of freedom above which a variance counts as known


@dataclass(frozen=True)
class Estimate:
    """A metric or a difference, with an interval that counts images and trainings.

    Attributes:
        value: mean over the trainings.
        low: lower end of the interval.
        high: upper end of the interval.
        p: two-sided, of no difference; not smaller than `p_floor`.
        p_floor: smallest p that the bootstrap samples can support.
        parts: of the variance: of the images, then of the trainings.
        n: trainings; of two systems those of the one with fewer.
        paired: whether the trainings of two systems are pairs of one seed or fold.
        note: why there is no interval and no p, or what limits them.
        discordant: the groups that make a difference of shares; None for other metrics.
    """

    value: float
    low: float
    high: float
    p: float
    p_floor: float
    parts: tuple[Variance, ...]
    n: int
    paired: bool = False
    note: str = ""
    discordant: Discordant | None = None

    @property
    def variance_rows(self) -> float:
        """Variance between draws of the images, the trainings held fixed."""
        return self.parts[0].value

    @property
    def variance_trainings(self) -> float:
        """Variance of the mean over the trainings; NaN where there is one only."""
        return float(sum(part.value for part in self.parts[1:])) if len(self.parts) > 1 else float("nan")

    @property
    def standard_error(self) -> float:
        """Root of the whole variance."""
        return float(sum(part.value for part in self.parts) ** 0.5)

    def interval(self) -> Interval:
        """Return the value with its ends and the note."""
        return Interval(self.value, self.low, self.high, self.note)

    def reversed(self) -> Estimate:
        """Return the difference b minus a of one that is a minus b."""
        return replace(self, value=0 - self.value, low=0 - self.high, high=0 - self.low)

    def in_words(self) -> str:
        """Return the difference with its interval, or why it has none, for a sentence."""
        value = f"{self.value:+z.3f}".replace("-", MINUS)
        if not np.isfinite(self.low):
            return f"{value} ({self.note})"
        return f"{value} " + f"[{self.low:+z.3f}, {self.high:+z.3f}]".replace("-", MINUS)

    def detectable(self, level: float = LEVEL, n_controls: int = 1) -> float:
        """Return the smallest true difference with 80 % power, see :func:`detectable_difference`; NaN if unknown."""
        known = np.isfinite(self.p) and self.standard_error > 0
        return detectable_difference(self.parts, level, n_controls) if known else float("nan")

    def parts_at(self, difference: float) -> tuple[Variance, ...]:
        """Return the parts of the variance if the true difference were another; of shares it then varies more."""
        if self.discordant is None:
            return self.parts
        rows = replace(self.parts[0], value=max(self.parts[0].value, self.discordant.variance(difference)))
        return rows, *self.parts[1:]

    def against_margins(self, level: float = LEVEL) -> Estimate:
        """Return the estimate with the interval of all true differences that a test against a margin accepts."""
        if self.discordant is None or not np.isfinite(self.low):
            return self

        def reach(difference: float) -> float:
            parts = self.parts_at(difference)
            return critical_value(parts, (1 - level) / 2) * float(sum(part.value for part in parts) ** 0.5)

        low, high = score_interval(self.value, reach)
        return replace(self, low=min(low, self.low), high=max(high, self.high))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values by their names in the files."""
        total, trainings = self.standard_error**2, self.variance_trainings
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "standard_error": self.standard_error,
            "variance_rows": self.variance_rows,
            "variance_trainings": trainings,
            "trainings_share": trainings / total if total > 0 else float("nan"),
            "p": self.p,
            "p_floor": self.p_floor,
            "n": self.n,
            "paired": self.paired,
        } | ({"note": self.note} if self.note else {})


def estimate(
    value: float,
    parts: Sequence[Variance],
    *,
    n: int,
    n_draws: int,
    n_groups: int = SIGN_TEST_GROUPS,
    level: float = LEVEL,
    paired: bool = False,
    note: str = "",
    mid_p: float = float("nan"),
) -> Estimate:
    """Return the estimate with its interval and its p.

    Args:
        value: of the metric or the difference.
        parts: of its variance, that of the images first; NaN where there is no interval.
        n: trainings.
        n_draws: bootstrap samples with a value, which support no p below 2 / (n_draws + 1).
        n_groups: fewest groups of a class that the metric needs; a sign test of so many has no p below 2^(1 - n).
        level: coverage of the interval.
        paired: whether trainings are paired.
        note: about the interval.
        mid_p: of a test of the groups that differ, below which p is never; NaN where there is none. An interval that it
            contradicts is :func:`widened`.

    >>> found = estimate(0.6, [Variance(0.02, np.inf), Variance(0.0033, 2)], n=3, n_draws=2000)
    >>> round(found.standard_error**2, 4), round(found.high, 3)
    (0.0233, 0.95)
    """
    parts, floor = tuple(parts), min(1.0, max(2 / (n_draws + 1), 2.0 ** (1 - n_groups)))
    total = sum(part.value for part in parts)
    if not (np.isfinite(value) and np.isfinite(total)):
        return Estimate(value, np.nan, np.nan, np.nan, floor, parts, n, paired, note)
    if total == 0:
        return Estimate(value, value, value, 1.0 if value == 0 else floor, floor, parts, n, paired, note)
    reach = critical_value(parts, (1 - level) / 2) * total**0.5
    mid_p = mid_p if np.isfinite(mid_p) else 0.0
    p = min(1.0, max(floor, mid_p, 2 * tail_probability(parts, abs(value) / total**0.5)))
    ends = widened(value, (value - reach, value + reach), parts, mid_p, level)
    return Estimate(value, *ends, p, floor, parts, n, paired, note)


def widened(
    value: float, ends: tuple[float, float], parts: Sequence[Variance], p: float, level: float = LEVEL
) -> tuple[float, float]:
    """Return the ends of a difference's interval, which holds zero where a mid-p is above 1 - level.

    An interval that doesn't is widened to that of the standard error by which the test would have that p.

    >>> parts = [Variance(0.01, np.inf)]
    >>> [round(end, 3) for end in widened(0.2, (0.004, 0.396), parts, 0.0625)]
    [-0.01, 0.41]
    >>> widened(0.2, (0.004, 0.396), parts, 0.05)
    (0.004, 0.396)
    """
    if ends[0] * ends[1] <= 0 or p <= 1 - level + ROUNDING:
        return ends
    tail = (1 - level) / 2
    reach = abs(value) * critical_value(parts, tail) / max(critical_value(parts, min(p, MOST_P) / 2), SMALLEST_TAIL)
    return value - reach, value + reach


def critical_value(parts: Sequence[Variance], tail: float) -> float:
    """Return what the value divided by its standard error exceeds with probability `tail` (below one half).

    >>> round(critical_value([Variance(1, np.inf), Variance(1, 2)], 0.025), 3)  # halfway from 1.960 to 4.303
    3.131
    """
    return float(critical_values([part.value for part in parts], [part.degrees_of_freedom for part in parts], tail))


def critical_values(variances: Sequence[Any], degrees_of_freedom: Sequence[float], tail: float) -> Any:
    """Return :func:`critical_value` of parts whose variances may be arrays, for simulations."""
    quantiles = [-stdtrit(min(df, 1e9), tail) for df in degrees_of_freedom]
    total = sum(variances)
    if min(degrees_of_freedom) <= 1:
        return (sum(v * t**2 for v, t in zip(variances, quantiles, strict=True)) / total) ** 0.5
    return sum(v * t for v, t in zip(variances, quantiles, strict=True)) / total


def tail_probability(parts: Sequence[Variance], statistic: float) -> float:
    """Return the one-sided p of a value divided by its standard error: the inverse of :func:`critical_value`.

    >>> round(tail_probability([Variance(1, np.inf), Variance(1, 2)], 3.131), 4)
    0.025
    """
    if statistic <= 0:
        return 1 - tail_probability(parts, -statistic) if statistic < 0 else 0.5
    if critical_value(parts, SMALLEST_TAIL) <= statistic:
        return SMALLEST_TAIL
    ends = np.log([SMALLEST_TAIL, 0.5])
    found = brentq(lambda log_tail: critical_value(parts, float(np.exp(log_tail))) - statistic, *ends, xtol=1e-9)
    return float(np.exp(found))


def whole_variance(parts: Sequence[Variance], level: float = LEVEL) -> Variance:
    """Return the sum of the parts, with the degrees of freedom whose t quantile is their critical value at a level.

    >>> round(whole_variance([Variance(1, np.inf), Variance(1, 2)]).degrees_of_freedom, 2)
    3.09
    """
    total, tail = sum(part.value for part in parts), (1 - level) / 2
    if len(parts) == 1 or not total > 0:
        return Variance(total, parts[0].degrees_of_freedom)
    wanted = critical_value(parts, tail)
    if wanted <= -stdtrit(KNOWN, tail):
        return Variance(total, np.inf)
    ends = np.log([0.5, KNOWN])
    return Variance(total, float(np.exp(brentq(lambda each: -stdtrit(np.exp(each), tail) - wanted, *ends))))


def detectable_difference(
    parts: Sequence[Variance], level: float = LEVEL, n_controls: int = 1, power: float = POWER
) -> float:
    """Return the smallest true difference that is significant with a given power.

    A difference is significant if it exceeds the critical value times its standard error. Both are estimated with the
    variance, which is drawn here with its degrees of freedom: a study of three seeds may well see too small or too
    large a variance between them. Each difference has a variance of its own.

    Args:
        parts: of the variance of a difference.
        level: 1 - level is the two-sided error rate of the test, after any correction.
        n_controls: systems that must all be exceeded by the difference; the errors of their differences have a
            correlation of one half, since they share one system, and their estimated variances one of a quarter.
        power: probability of significance.

    >>> round(detectable_difference([Variance(1, np.inf)]), 1)
    2.8
    """
    rng, total = np.random.default_rng(0), sum(part.value for part in parts)
    if not total > 0:
        return 0.0
    degrees_of_freedom = [part.degrees_of_freedom for part in parts]
    shape = (N_SIMULATED, n_controls)
    drawn = [part.value * _relative_variance(rng, part.degrees_of_freedom, shape) for part in parts]
    reach = critical_values(drawn, degrees_of_freedom, (1 - level) / 2) * sum(drawn) ** 0.5
    shared, own = rng.standard_normal((N_SIMULATED, 1)), rng.standard_normal(shape)
    error = (shared + own) / 2**0.5 * total**0.5
    return float(np.quantile((reach - error).max(1), power))


def _relative_variance(rng: np.random.Generator, degrees_of_freedom: float, shape: tuple[int, int]) -> Floats:
    """Draw estimated variances of differences from one system as multiples of the true one.

    The squares of two normal numbers with a correlation of one half have one of a quarter.
    """
    if degrees_of_freedom > KNOWN:
        return np.ones(shape)
    shared, own = rng.chisquare(degrees_of_freedom / 4, (shape[0], 1)), rng.chisquare(degrees_of_freedom * 0.75, shape)
    return np.asarray((shared + own) / degrees_of_freedom)
