"""Bootstrap samples and jackknife of whole groups: every metric is re-weighted, and its variance gives an interval.

A bootstrap sample draws the groups of the table with replacement, whatever their class, so that the shares of the
classes vary as they do between samples of patients. Intervals and standard errors come from the jackknife, which needs
no draws and separates the variance within the classes from that of their counts; bootstrap samples show how often a
metric is undefined, and give bands and p-values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.evaluation.metrics.metric import MIN_GROUPS, UNBOUNDED, Metric
from skinlab.evaluation.metrics.registry import find_metric
from skinlab.evaluation.statistics.estimates import whole_variance, widened
from skinlab.evaluation.statistics.intervals import (
    AT_BOUND,
    EQUAL,
    UNDEFINED,
    Interval,
    ShareSize,
    Variance,
    jackknife_variance,
    share_interval,
    t_interval,
    t_quantile,
    wilson_interval,
)
from skinlab.evaluation.statistics.jackknife import Jackknife
from skinlab.evaluation.statistics.margins import uniform_interval
from skinlab.evaluation.statistics.sign_flips import carried_by, mid_p, n_discordant
from skinlab.evaluation.statistics.support import (
    CARRY_DIFFERENCE,
    DISCORDANT,
    FEW_GROUPS,
    FOR_DIFFERENCE,
    FOR_PPV,
    FOR_RANKING,
    TO_RANK,
    GroupCounts,
)
from skinlab.processes.cores import thread_pool
from skinlab.processes.progress import Progress, counted
from skinlab.text import quantity

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Statistic = Callable[[Floats], Mapping[str, Floats]]

N_DRAWS = 2000
LEVEL = 0.95
BLOCK = 100  # bootstrap samples at a time: a block of ten thousand rows is 8 MB
NO_VARIATION = 1e-12  # standard error that is rounding alone


class Resampler:
    """Bootstrap samples and jackknife of a table's rows by group; the same for every system on these rows.

    A group belongs to the rarest class among its rows.

    Args:
        groups: ``(N,)`` lesion, patient or whatever else belongs together.
        target: ``(N,)`` class numbers.
        classes: C class names, for messages.
        stratified: draw as many groups of each class as the table has, instead of as many groups.
    """

    def __init__(
        self,
        groups: Sequence[Any] | npt.NDArray[Any],
        target: Ints,
        classes: Sequence[str] = (),
        *,
        stratified: bool = False,
    ) -> None:
        self.group, names = pd.factorize(np.asarray(groups))
        support = np.bincount(target)
        rarest_first = np.argsort(support[target], kind="stable")
        group_class = np.zeros(len(names), np.int64)
        group_class[self.group[rarest_first][::-1]] = target[rarest_first][::-1]
        self.counts = GroupCounts.count(self.group, target, classes)
        self.jackknife = Jackknife.of(group_class)
        stratum = group_class if stratified else np.zeros_like(group_class)
        self.strata = [np.flatnonzero(stratum == each) for each in np.unique(stratum)]
        drawn = f"{self.group.tobytes().hex()} {group_class.tobytes().hex()} {stratified}"
        self.sha256 = hashlib.sha256(drawn.encode()).hexdigest()

    def weights(self, n_draws: int = N_DRAWS, seed: int = 0) -> Iterator[Floats]:
        """Yield ``(N, <= 100)`` weights until there are enough samples; sample k is the same whatever `n_draws` is."""
        return (self.block(seed, start, min(BLOCK, n_draws - start)) for start in range(0, n_draws, BLOCK))

    def block(self, seed: int, start: int, size: int) -> Floats:
        """Return the weights ``(N, size)`` of the samples from `start` on, `start` a multiple of the block."""
        rng = np.random.default_rng([seed, start])
        by_group = np.zeros((BLOCK, sum(map(len, self.strata))))
        for stratum in self.strata:
            n = len(stratum)
            picks = rng.integers(n, size=(BLOCK, n)) + n * np.arange(BLOCK)[:, None]
            by_group[:, stratum] = np.bincount(picks.ravel(), minlength=BLOCK * n).reshape(BLOCK, n)
        return np.ascontiguousarray(by_group[:size].T)[self.group]

    def without(self) -> Iterator[Floats]:
        """Yield weights ``(N, <= 100)`` that each leave out one part of the groups."""
        part, n_parts = self.jackknife.part[self.group], len(self.jackknife.part_class)
        for start in range(0, n_parts, BLOCK):
            left = np.arange(start, min(start + BLOCK, n_parts))
            yield (part[:, None] != left).astype(np.float64)


@dataclass(frozen=True)
class BootstrapSamples:
    """A statistic on the table itself, on every bootstrap sample, and without each part of the groups.

    Attributes:
        estimate: name → value on the table.
        values: name → ``(B,)`` on the bootstrap samples.
        left_out: name → ``(J,)`` without each part of the groups.
        resampler: of the rows.
        seed: of the bootstrap samples; only samples of the same rows, groups and seed are paired.
        shares: name → what a metric that is a share is taken over.
        is_difference: whether the values are differences of two systems, which have no bounds and are no shares.
        trainings: name → variance of a mean over trainings; intervals add it to that of the images.
        by_group: name → ``(G,)`` what each group adds to a metric that is a sum over images, such as sensitivity.
    """

    estimate: dict[str, float]
    values: dict[str, Floats]
    left_out: dict[str, Floats]
    resampler: Resampler
    seed: int = 0
    shares: Mapping[str, ShareSize] = field(default_factory=dict)
    is_difference: bool = False
    trainings: Mapping[str, Variance] = field(default_factory=dict)
    by_group: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Hash of what decides the bootstrap samples."""
        return f"{self.resampler.sha256} {self.seed}"

    def variance(self, name: str, *, heavy_tails: bool = False) -> Variance:
        """Return the jackknife's variance of a metric, with its degrees of freedom.

        A ranking of one class against the rest, or of two classes, has no more of them than the fewer groups of the
        two: their variance is underestimated where they happen to be alike, and Satterthwaite's number is too large
        just then. A difference of two systems has few only where the images within a class alone count, such as of
        sensitivity; the test of others is that of the normal distribution, for the AUROC DeLong's.

        Args:
            name: of the metric.
            heavy_tails: see :func:`skinlab.evaluation.statistics.intervals.jackknife_variance`; metrics of the registry
                that have them say so.
        """
        jackknife, metric = self.resampler.jackknife, find_metric(name)
        found = jackknife_variance(
            self.estimate[name],
            self.left_out[name],
            jackknife.part_class,
            jackknife.part_size,
            stratified=metric is not None and metric.stratified,
            heavy_tails=heavy_tails or (metric is not None and metric.heavy_tails),
        )
        if metric is None:
            return found
        if self.is_difference:
            return found if metric.stratified and not metric.ranking else replace(found, degrees_of_freedom=np.inf)
        if metric.like_share and metric.scope != "all":
            return replace(found, degrees_of_freedom=np.inf)
        if metric.needs == "both" or (metric.ranking and self._of_two(metric)):
            n, _ = self.fewest(name)
            found = replace(found, degrees_of_freedom=min(found.degrees_of_freedom, max(n - 1, 1)))
        return found

    def fewest(self, name: str) -> tuple[int, str]:
        """Return the fewest groups among those that a metric needs, and what they are."""
        return self.resampler.counts.fewest(find_metric(name), name.partition("/")[2])

    def _of_two(self, metric: Metric) -> bool:
        """Return whether a metric is of a class against the rest, or of two classes, and not a mean over many."""
        return metric.needs != "classes" or self.resampler.counts.n_present == 2

    def undefined(self, name: str) -> float:
        """Return the share of the bootstrap samples on which a metric has no value."""
        return float(np.isnan(self.values[name]).mean()) if len(self.values[name]) else 0.0

    def no_interval(self, name: str) -> str:
        """Return why a metric has no interval and no p-value on these rows; "" where it has a p-value."""
        metric = find_metric(name)
        if not np.isfinite(self.estimate[name]):
            return UNDEFINED
        if metric and metric.no_interval:
            return f"no interval: {metric.no_interval}"
        n, what = self.fewest(name)
        least = metric.min_groups if metric else MIN_GROUPS
        return f"no interval: {n} {what}, at least {least} are needed" if n < least else ""

    def too_wide(self, name: str) -> str:
        """Return why a metric has no interval, though a difference of it has a p-value; "" where it has one.

        On few groups rankings and differences have few possible values: their intervals cover more than they promise,
        which does no harm to a test.
        """
        metric, (n, what) = find_metric(name), self.fewest(name)
        if self.is_difference and self.estimate[name] == 0 == np.ptp(self.left_out[name]):
            return EQUAL
        if metric is None:
            return ""
        if not self.is_difference:
            least = TO_RANK if metric.ranking else FOR_PPV if metric.share_of == "predicted" else 0
            return f"no interval: {n} {what}, at least {least} are needed" if n < least and self._of_two(metric) else ""
        if n < (least := FOR_RANKING if metric.ranking else FOR_DIFFERENCE) and self._of_two(metric):
            return f"no interval: {n} {what}, at least {least} are needed for one of a difference"
        if self.by_group and metric.decides and (differ := n_discordant(self.by_group, name)) < DISCORDANT:
            return f"no interval: the decisions differ in {quantity(differ, 'group')}, at least {DISCORDANT} are needed"
        if name in self.by_group and carried_by(self.by_group[name]) < CARRY_DIFFERENCE:
            return f"no interval: the difference rests on fewer than {CARRY_DIFFERENCE} groups"
        return ""

    def mid_p(self, name: str) -> float:
        """Return the least p of a difference that the discordant groups allow; NaN for metrics of no decisions."""
        metric = find_metric(name)
        return mid_p(self.by_group, name) if metric is not None and metric.decides else float("nan")

    def interval(self, name: str, level: float = LEVEL) -> Interval:
        """Return the interval of a metric, or why it has none."""
        value, undefined, metric = self.estimate[name], self.undefined(name), find_metric(name)
        if reason := self.no_interval(name) or self.too_wide(name):
            return Interval.none(value, reason, undefined)
        variance, (n, what) = self.variance(name), self.fewest(name)
        if metric and metric.ranking and metric.stratified and not self.is_difference:
            variance = replace(variance, value=variance.value * (n / (n - 1)) ** 2)
        if name in self.trainings and np.isfinite(variance.value):
            variance = whole_variance([variance, self.trainings[name]], level)
        n_classes = len(self.resampler.counts.classes)
        bounds = UNBOUNDED if self.is_difference or metric is None else metric.bounds_of(n_classes)
        if name in self.shares and not self.is_difference:
            if not self.shares[name].effective:  # such as the NPV where some cross-fits alone predict negatives
                return Interval.none(value, UNDEFINED, undefined)
            ends = share_interval(value, self.shares[name], variance.value, level, variance.degrees_of_freedom)
        elif not np.isfinite(variance.value):
            return Interval.none(value, UNDEFINED, undefined)
        elif value in bounds or (variance.standard_error < NO_VARIATION and bounds != UNBOUNDED):
            return Interval.none(value, AT_BOUND, undefined)
        elif metric and metric.like_share and not self.is_difference:
            quantile = t_quantile((1 + level) / 2, variance.degrees_of_freedom)
            ends = wilson_interval(value, value * (1 - value) / variance.value, quantile)
        elif name in self.by_group and variance.standard_error < NO_VARIATION:
            ends = uniform_interval(self.by_group[name], t_quantile((1 + level) / 2, variance.degrees_of_freedom))
        else:
            ends = t_interval(value, variance, bounds, level)
        if self.is_difference and np.isfinite(exact := self.mid_p(name)):
            ends = widened(value, ends, [variance], exact, level)
        caution = f"caution: {n} {what}, under {FEW_GROUPS}: the interval is rough" if n < FEW_GROUPS else ""
        return Interval(value, *ends, caution, undefined)

    def intervals(self, level: float = LEVEL) -> dict[str, Interval]:
        """Return name → interval."""
        return {name: self.interval(name, level) for name in self.estimate}

    def with_metrics(self, other: BootstrapSamples, names: Sequence[str]) -> BootstrapSamples:
        """Return these samples with some metrics of others of the same rows."""

        def merged(own: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
            kept = {name: each for name, each in own.items() if name not in names}
            return {**kept, **{name: others[name] for name in names if name in others}}

        parts = ("estimate", "values", "left_out", "shares", "by_group")
        changed: dict[str, Any] = {part: merged(getattr(self, part), getattr(other, part)) for part in parts}
        return replace(self, **changed)

    def minus(self, other: BootstrapSamples) -> BootstrapSamples:
        """Return the differences to another system on the same bootstrap samples, of common metrics.

        Raises:
            ValueError: the other's samples are not the same.
        """
        if self.sha256 != other.sha256:
            raise ValueError("two systems have different bootstrap samples; give both the same rows, groups and seed")
        names = [name for name in self.estimate if name in other.estimate]
        return BootstrapSamples(
            {name: self.estimate[name] - other.estimate[name] for name in names},
            {name: self.values[name] - other.values[name] for name in names},
            {name: self.left_out[name] - other.left_out[name] for name in names},
            self.resampler,
            self.seed,
            is_difference=True,
            by_group={
                name: own - other.by_group[name] for name, own in self.by_group.items() if name in other.by_group
            },
        )


def average(samples: Sequence[BootstrapSamples]) -> BootstrapSamples:
    """Return the mean over several systems, or differences, on the same bootstrap samples.

    Raises:
        ValueError: the samples are not the same.
    """
    first = samples[0]
    if len({each.sha256 for each in samples}) > 1:
        raise ValueError("systems have different bootstrap samples; give all the same rows, groups and seed")
    return BootstrapSamples(
        {name: float(np.mean([each.estimate[name] for each in samples])) for name in first.estimate},
        {name: np.mean([each.values[name] for each in samples], axis=0) for name in first.estimate},
        {name: np.mean([each.left_out[name] for each in samples], axis=0) for name in first.estimate},
        first.resampler,
        first.seed,
        first.shares,
        first.is_difference,
        by_group={name: np.mean([each.by_group[name] for each in samples], axis=0) for name in first.by_group},
    )


def bootstrap(statistic: Statistic, resampler: Resampler, *, n_draws: int = N_DRAWS, seed: int = 0) -> BootstrapSamples:
    """Compute a statistic on the table, on bootstrap samples and on the jackknife's parts.

    Args:
        statistic: maps weights ``(N, B)`` to name → ``(B,)``, e.g. a :class:`skinlab.evaluation.metrics.scorer.Scorer`;
            its method ``shares``, where it has one, returns name → ``(N,)`` the rows that a share is taken over, and
            ``contributions`` name → ``(N,)`` what each row adds to a metric.
        resampler: of the same rows.
        n_draws: number of bootstrap samples; an interval needs none of them.
        seed: of the bootstrap samples.
    """
    estimate = {name: float(value[0]) for name, value in statistic(np.ones((len(resampler.group), 1))).items()}
    starts = range(0, n_draws, BLOCK)
    with thread_pool() as pool:  # numpy's long loops let other threads run
        blocks = pool.map(lambda k: statistic(resampler.block(seed, k, min(BLOCK, n_draws - k))), starts)
        parts = -(-len(resampler.jackknife.part_class) // BLOCK)
        with Progress("bootstrap and jackknife, by the hundred", len(starts) + parts):
            sampled = list(counted(blocks))
            left = list(counted(pool.map(statistic, resampler.without())))
    rows: Mapping[str, npt.NDArray[np.bool_]] = getattr(statistic, "shares", dict)()
    shares = {name: ShareSize.of(resampler.group[mask]) for name, mask in rows.items()}
    added: Mapping[str, Floats] = getattr(statistic, "contributions", dict)()
    by_group = {name: np.bincount(resampler.group, weights=each).astype(np.float64) for name, each in added.items()}
    return BootstrapSamples(
        estimate, _join(estimate, sampled), _join(estimate, left), resampler, seed, shares, by_group=by_group
    )


def _join(names: Iterable[str], blocks: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([block[name] for block in blocks] or [np.empty(0)]) for name in names}
