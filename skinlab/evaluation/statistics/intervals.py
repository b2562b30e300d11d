"""Intervals of metrics: Student's t on the scale of the metric's bounds, and Wilson's for shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtri, stdtrit

from skinlab.evaluation.evidence import interval_form

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

AT_BOUND = "no interval: the images show no variation of the metric, such as at its bound"
EQUAL = "no interval: both are equal on these images, which show no variation of the difference"
UNDEFINED = "no interval: the metric is undefined on these images"
SHOWN_UNDEFINED = 0.01  # share of bootstrap samples without a value from which it is reported


@dataclass(frozen=True)
class Interval:
    """A metric with the ends of its interval, NaN where it has none.

    Attributes:
        value: on the table itself.
        low: lower end.
        high: upper end.
        note: why there is no interval, or what limits it.
        undefined: share of the bootstrap samples on which the metric has no value.
    """

    value: float
    low: float
    high: float
    note: str = ""
    undefined: float = 0.0

    @classmethod
    def none(cls, value: float, note: str, undefined: float = 0.0) -> Interval:
        """Return a value without an interval, and why."""
        return cls(value, np.nan, np.nan, note, undefined)

    def to_dict(self) -> interval_form.Interval:
        """Return the numbers by name, with the note and the undefined share where there are any."""
        found: dict[str, float | str] = {"value": self.value, "low": self.low, "high": self.high}
        if self.note:
            found["note"] = self.note
        if self.undefined > SHOWN_UNDEFINED:
            found["undefined"] = round(self.undefined, 4)
        return cast("interval_form.Interval", found)


@dataclass(frozen=True)
class Variance:
    """A variance with the degrees of freedom of its estimate."""

    value: float
    degrees_of_freedom: float

    @property
    def standard_error(self) -> float:
        """The square root."""
        return float(np.sqrt(self.value))


@dataclass(frozen=True)
class ShareSize:
    """How many images, and how many groups of them, a share is taken over.

    Attributes:
        rows: images.
        groups: groups.
        effective: ``(sum m)^2 / sum m^2`` for `m` images a group (Kish, 1965): the fewest independent images that
            they can be worth.
    """

    rows: float
    groups: float
    effective: float

    @classmethod
    def of(cls, group: Ints) -> ShareSize:
        """Return the size of images with group numbers ``(N,)``."""
        m = np.unique(group, return_counts=True)[1].astype(float)
        return cls(float(m.sum()), float(len(m)), float(m.sum() ** 2 / (m**2).sum()) if len(m) else 0.0)


def independent_images(values: Floats, group: Ints) -> float:
    """Return how many independent images some images are worth: ``n / (1 + (m - 1) r)`` (Kish, 1965).

    ``r`` is the intraclass correlation of the values by a one-way analysis of variance (Donner, 1986), ``m`` the mean
    number of images in the group of an image.

    Args:
        values: ``(N,)``.
        group: ``(N,)`` group numbers from 0.

    >>> independent_images(np.array([1.0, 1.0, 2.0, 2.0]), np.array([0, 0, 1, 1]))
    2.0
    """
    size = np.bincount(group).astype(float)
    n, k = len(values), len(size)
    if n == k or k < 2:
        return float(k)
    means = np.bincount(group, weights=values) / size
    between = float((size * (means - values.mean()) ** 2).sum() / (k - 1))
    within = float(((values - means[group]) ** 2).sum() / (n - k))
    typical = (n - (size**2).sum() / n) / (k - 1)
    total = between + (typical - 1) * within
    alike = np.clip((between - within) / total, 0, 1) if total > 0 else 1.0
    return float(n / (1 + ((size**2).sum() / n - 1) * alike))


def jackknife_variance(
    value: float,
    left_out: Floats,
    part_class: Ints,
    part_size: Ints,
    *,
    stratified: bool,
    heavy_tails: bool = False,
) -> Variance:
    """Return the variance of a metric from its values without each part of the groups.

    Within the classes it is the stratified delete-one jackknife, the sum over the classes of ``(n - 1) / n`` times the
    squared deviations of their ``n`` parts; for the AUROC this is the variance of DeLong, DeLong and Clarke-Pearson
    (1988). Where class counts are redrawn, the variance of the mean influences between the classes is added.
    Satterthwaite's (1946) degrees of freedom add those of the classes: a class of few groups counts by its part.

    Args:
        value: on the table itself.
        left_out: ``(J,)`` without each part (Efron and Stein, 1981); NaN where the metric is undefined.
        part_class: ``(J,)`` class of a part's groups.
        part_size: ``(J,)`` number of groups of a part.
        stratified: whether the counts of the classes are fixed.
        heavy_tails: whether few images may carry the metric; the degrees of freedom then are no more than those by the
            kurtosis of the influences, ``2 v² / Var(v)`` (Satterthwaite, 1941).
    """
    known = np.isfinite(left_out)
    if not np.isfinite(value) or known.sum() < 3:
        return Variance(np.nan, np.nan)
    total = part_size.sum()
    change, part_class, size = (value - left_out)[known], part_class[known], part_size[known].astype(float)
    within = _deviations(change, part_class, size)
    terms, between = [], 0.0
    for c in np.unique(part_class):
        own, n = part_class == c, int((part_class == c).sum())
        between += (change[own] * (total - size[own]) / total).sum() ** 2 / size[own].sum()
        terms.append(((within[own] ** 2).sum() * (n - 1) / n, n - 1) if n > 1 else (float(change[own][0] ** 2), 1))
    if not stratified:
        terms.append((between, max(len(change) - 1, 1)))
    variance = float(sum(v for v, _ in terms))
    spread = float(sum(v**2 / n for v, n in terms))
    if heavy_tails:
        squares = _deviations(change * (total - size) / total, np.zeros_like(part_class), size) ** 2
        spread = max(spread, float((squares**2).sum() - squares.sum() ** 2 / len(squares)) / 2)
    return Variance(variance, variance**2 / spread if spread > 0 else np.inf)


def _deviations(change: Floats, part_class: Ints, part_size: Floats) -> Floats:
    """Return by how much each part changes a metric ``(J,)`` more than the groups of its class do on average."""
    sums = [np.bincount(part_class, weights=each) for each in (change, part_size)]
    return change - part_size * (sums[0] / np.maximum(sums[1], 1))[part_class]


def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Return a quantile of Student's t; of the normal distribution for infinite degrees of freedom.

    >>> round(t_quantile(0.975, 9), 3), round(t_quantile(0.975, np.inf), 3)
    (2.262, 1.96)
    """
    finite = np.isfinite(degrees_of_freedom)
    return float(stdtrit(degrees_of_freedom, probability) if finite else ndtri(probability))


def t_interval(
    value: float, variance: Variance, bounds: tuple[float, float] = (-np.inf, np.inf), level: float = 0.95
) -> tuple[float, float]:
    """Return the ends of a t interval on the logit scale between two bounds, the log scale above one, or plainly.

    >>> [round(end, 3) for end in t_interval(0.9, Variance(0.03**2, np.inf), (0, 1))]
    [0.824, 0.945]
    """
    least, most = bounds
    reach = t_quantile((1 + level) / 2, variance.degrees_of_freedom) * variance.standard_error
    sides = np.array([-1.0, 1.0])
    if not np.isfinite(least):
        ends = value + sides * reach
    elif not np.isfinite(most):
        ends = least + (value - least) * np.exp(sides * reach / (value - least))
    else:
        u = (value - least) / (most - least)
        ends = least + (most - least) * expit(logit(u) + sides * reach / ((most - least) * u * (1 - u)))
    return float(ends[0]), float(ends[1])


def share_interval(
    share: float, size: ShareSize, variance: float, level: float = 0.95, degrees_of_freedom: float = np.inf
) -> tuple[float, float]:
    """Return Wilson's (1927) interval with the number of independent images that a share's variance stands for.

    That number, ``p (1 - p) / variance``, lies between Kish's effective one and that of the images; at 0 and 1, where
    nothing varies, it is the former. With several images a group the variance is itself an estimate, and Student's t
    with its degrees of freedom, at most as many as there are groups, less one, takes the place of the normal
    distribution.

    >>> [round(end, 3) for end in share_interval(1.0, ShareSize(59, 59, 59), 0.0)]
    [0.939, 1.0]
    """
    n = float(np.clip(share * (1 - share) / variance if variance > 0 else size.effective, size.effective, size.rows))
    single = size.effective >= size.rows
    df = np.inf if single else min(max(size.groups - 1, 1), max(degrees_of_freedom, 1))
    return wilson_interval(share, n, t_quantile((1 + level) / 2, df))


def wilson_interval(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's (1927) interval of a share of `n` images, which may be no whole number.

    >>> [round(end, 3) for end in wilson_interval(0.5, 20, 1.96)]
    [0.299, 0.701]
    """
    center, half = share + quantile**2 / 2 / n, quantile * np.sqrt(share * (1 - share) / n + quantile**2 / 4 / n**2)
    low, high = (center - half) / (1 + quantile**2 / n), (center + half) / (1 + quantile**2 / n)
    return float(low if share > 0 else 0.0), float(high if share < 1 else 1.0)
