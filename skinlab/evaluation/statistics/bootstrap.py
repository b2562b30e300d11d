"""Intervals by bootstrap: groups are drawn with replacement, class by class, and every metric is re-weighted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from skinlab.evaluation.evidence import interval_form
from skinlab.processes.cores import available_cores

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Mapping[str, Floats]]

N_DRAWS = 2000
LEVEL = 0.95
BLOCK = 100  # bootstrap samples at a time: a block of ten thousand rows is 8 MB
LEFT_OUT = 400  # parts of the jackknife


@dataclass(frozen=True)
class Interval:
    """A metric with the ends of its percentile and its BCa interval (Efron, 1987); NaN where it has none."""

    value: float
    low: float
    high: float
    bca_low: float
    bca_high: float

    def to_dict(self) -> interval_form.Interval:
        """Return the five numbers by name."""
        return cast("interval_form.Interval", asdict(self))


@dataclass(frozen=True)
class BootstrapSamples:
    """A statistic on the table itself, on every bootstrap sample, and without each part of the groups.

    Attributes:
        estimate: name → value on the table.
        values: name → ``(B,)`` on the bootstrap samples.
        left_out: name → ``(J,)`` without each part of the groups.
        sha256: of what decides the bootstrap samples; only those that share it are paired.
    """

    estimate: dict[str, float]
    values: dict[str, Floats]
    left_out: dict[str, Floats]
    sha256: str = ""

    def interval(self, name: str, level: float = LEVEL) -> Interval:
        """Return the interval of a metric; samples without a value (NaN) are passed over."""
        return interval(self.estimate[name], self.values[name], self.left_out[name], level)

    def intervals(self, level: float = LEVEL) -> dict[str, Interval]:
        """Return name → interval."""
        return {name: self.interval(name, level) for name in self.estimate}

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
            self.sha256,
        )


def interval(value: float, samples: Floats, left_out: Floats, level: float = LEVEL) -> Interval:
    """Return the percentile and the bias-corrected and accelerated interval of a metric.

    Args:
        value: on the table itself.
        samples: ``(B,)`` on the bootstrap samples.
        left_out: metrics of the delete-a-part jackknife, for the acceleration.
        level: coverage wanted.

    >>> round(interval(0.5, np.linspace(0, 1, 101), np.array([0.4, 0.5, 0.6])).low, 3)
    0.025
    """
    known, left_out = samples[np.isfinite(samples)], left_out[np.isfinite(left_out)]
    if not np.isfinite(value) or not len(known):
        return Interval(value, *[np.nan] * 4)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    below = np.mean(known < value) + np.mean(known == value) / 2
    bias = ndtri(np.clip(below, 0.5 / len(known), 1 - 0.5 / len(known)))
    deviation = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    scale = (deviation**2).sum() ** 1.5
    acceleration = (deviation**3).sum() / (6 * scale) if scale > 0 else 0.0
    shifted = bias + ndtri(tails)
    corrected = ndtr(bias + shifted / (1 - acceleration * shifted))
    return Interval(value, *(float(end) for end in np.quantile(known, [*tails, *corrected])))


class Resampler:
    """Bootstrap samples of a table's rows by group, stratified by class; the same for every system on these rows.

    A group belongs to the rarest class among its rows. Every sample has as many groups of a class as the table; a class
    with one group keeps it in every sample, so that its metrics have intervals without width.

    Args:
        groups: ``(N,)`` lesion, patient or whatever else belongs together.
        target: ``(N,)`` class numbers.
    """

    def __init__(self, groups: Sequence[Any] | npt.NDArray[Any], target: npt.NDArray[np.int64]) -> None:
        self.group, names = pd.factorize(np.asarray(groups))
        support = np.bincount(target)
        rarest_first = np.argsort(support[target], kind="stable")
        group_class = np.zeros(len(names), np.int64)
        group_class[self.group[rarest_first][::-1]] = target[rarest_first][::-1]
        self.strata = [np.flatnonzero(group_class == c) for c in np.unique(group_class)]
        self.sha256 = hashlib.sha256(self.group.tobytes() + group_class.tobytes()).hexdigest()

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
        """Yield weights that each leave out one part of the groups; each class is spread evenly over the parts."""
        order = np.concatenate(self.strata)
        n_parts = min(LEFT_OUT, len(order))
        part = np.empty(len(order), np.int64)
        part[order] = np.arange(len(order)) % n_parts
        for start in range(0, n_parts, BLOCK):
            left = np.arange(start, min(start + BLOCK, n_parts))
            yield (part[self.group][:, None] != left).astype(np.float64)


def bootstrap(statistic: Statistic, resampler: Resampler, *, n_draws: int = N_DRAWS, seed: int = 0) -> BootstrapSamples:
    """Compute a statistic on the table, on bootstrap samples and on the jackknife's parts.

    Args:
        statistic: maps weights ``(N, B)`` to name → ``(B,)``, e.g. a :class:`skinlab.evaluation.metrics.scorer.Scorer`.
        resampler: of the same rows.
        n_draws: number of bootstrap samples.
        seed: of the bootstrap samples.
    """
    n = len(resampler.group)
    estimate = {name: float(value[0]) for name, value in statistic(np.ones((n, 1))).items()}
    starts = range(0, n_draws, BLOCK)
    with ThreadPoolExecutor(available_cores()) as pool:  # numpy's long loops let other threads run
        sampled = list(pool.map(lambda k: statistic(resampler.block(seed, k, min(BLOCK, n_draws - k))), starts))
        left = [statistic(weights) for weights in resampler.without()]
    return BootstrapSamples(estimate, _join(sampled), _join(left), f"{resampler.sha256} {seed}")


def _join(blocks: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
