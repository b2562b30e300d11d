"""The trainings of a system, and differences of systems that count the images and the trainings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, average
from skinlab.evaluation.statistics.estimates import LEVEL, SIGN_TEST_GROUPS, Estimate, estimate
from skinlab.evaluation.statistics.intervals import Variance
from skinlab.evaluation.statistics.margins import Discordant


@dataclass(frozen=True)
class Trainings:
    """The trainings of one recipe, on the same bootstrap samples of the images.

    Attributes:
        samples: key of a training, such as its fold and seed → bootstrap samples of its metrics.
        overlap: by how much the variance of the trainings' mean exceeds that of independent ones, as a share of the
            variance between them. Folds of K share training images: 1 / (K - 1), the images of a fold by those that
            its model is trained on (Nadeau and Bengio, 2003; Bouckaert and Frank, 2004, for seeds within folds).
    """

    samples: Mapping[Hashable, BootstrapSamples]
    overlap: float = 0.0

    def __len__(self) -> int:
        return len(self.samples)

    def values(self, metric: str) -> list[float]:
        """Return a metric of every training."""
        return [each.estimate[metric] for each in self.samples.values()]

    def mean(self) -> BootstrapSamples:
        """Return the mean over the trainings, whose intervals count the variance between them."""
        mean = average(list(self.samples.values()))
        return replace(mean, trainings={name: part for name in mean.estimate for part in self.part(self.values(name))})

    def part(self, values: Sequence[float]) -> list[Variance]:
        """Return the part of the variance of a mean that the trainings have; none of a single one.

        Args:
            values: of the trainings, or of their pairs.

        >>> Trainings({}).part([0.1, 0.2, 0.3])[0].degrees_of_freedom
        2
        """
        k = len(values)
        return [Variance(float(np.var(values, ddof=1)) * (1 / k + self.overlap), k - 1)] if k > 1 else []


@dataclass(frozen=True)
class Replicates:
    """In what the trainings of a system differ.

    Attributes:
        axis: ``seed`` or ``fold``; None where there is one training.
        ids: the seed or fold of each.
        overlap: see :class:`Trainings`.
    """

    axis: str | None = None
    ids: Sequence[int] = ()
    overlap: float = 0.0

    @property
    def keys(self) -> list[Hashable]:
        """Return what two systems' trainings are paired by."""
        return [(self.axis, each) for each in self.ids] if self.axis else [(None, 0)]


SINGLE = Replicates()


def overlap_of_folds(folds: Sequence[int], n_folds: int) -> float:
    """Return :attr:`Trainings.overlap` of trainings in these folds.

    >>> overlap_of_folds([0, 0, 0], 5), overlap_of_folds([0, 1], 5)
    (0.0, 0.25)
    """
    return 1 / (n_folds - 1) if len(set(folds)) > 1 and n_folds > 1 else 0.0


def metric_estimate(system: Trainings, metric: str, level: float = LEVEL) -> Estimate:
    """Return a metric of one system, its mean over the trainings; its interval is on the scale of its bounds."""
    mean = replace(system, samples={key: only(each, metric) for key, each in system.samples.items()}).mean()
    found = _estimate(mean, metric, system.part(system.values(metric)), len(system), level)
    interval = mean.interval(metric, level)
    return replace(found, low=interval.low, high=interval.high, p=float("nan"), note=interval.note)


def difference_estimate(
    a: Trainings, b: Trainings, metric: str, level: float = LEVEL, n_draws: int | None = None
) -> Estimate:
    """Return a minus b.

    Trainings that both have (the same seed or fold) are pairs, and those that only one has are passed over; the
    trainings' variance is that of the pairs' differences. Systems with fewer than two pairs are compared by all their
    trainings, whose variances add. A system with a single training adds none: the difference is then one of its
    weights, not of its recipe.

    Args:
        a: a system.
        b: another one, on the same bootstrap samples.
        metric: name.
        level: of the interval.
        n_draws: bootstrap samples that limit how small p may be; None: those of the metric.
    """
    pairs = [key for key in a.samples if key in b.samples]
    paired = len(pairs) > 1 or (len(a) == len(b) == len(pairs) == 1)
    keys_a, keys_b = (pairs, pairs) if paired else (list(a.samples), list(b.samples))
    mean_a = average([only(a.samples[key], metric) for key in keys_a])
    difference = mean_a.minus(average([only(b.samples[key], metric) for key in keys_b]))
    values_a, values_b = ([s.samples[key].estimate[metric] for key in keys] for s, keys in ((a, keys_a), (b, keys_b)))
    if paired:
        parts = a.part([x - y for x, y in zip(values_a, values_b, strict=True)])
    else:
        parts = a.part(values_a) + b.part(values_b)
    return _estimate(difference, metric, parts, min(len(keys_a), len(keys_b)), level, n_draws, paired=paired)


def only(samples: BootstrapSamples, metric: str) -> BootstrapSamples:
    """Return the bootstrap samples of one metric."""
    return replace(
        samples,
        estimate={metric: samples.estimate[metric]},
        values={metric: samples.values[metric]},
        left_out={metric: samples.left_out[metric]},
    )


def _estimate(
    samples: BootstrapSamples,
    metric: str,
    parts: Sequence[Variance],
    n: int,
    level: float,
    n_draws: int | None = None,
    *,
    paired: bool = False,
) -> Estimate:
    reason = samples.no_interval(metric)
    rows = Variance(float("nan"), np.inf) if reason else samples.variance(metric)
    of_images = samples.interval(metric, level)
    note = reason or of_images.note
    n_draws = int(np.isfinite(samples.values[metric]).sum()) if n_draws is None else n_draws
    how: dict[str, Any] = {"n_draws": n_draws, "n_groups": min(samples.fewest(metric)[0], SIGN_TEST_GROUPS)}
    how["mid_p"] = samples.mid_p(metric) if samples.is_difference else float("nan")
    found = estimate(samples.estimate[metric], [rows, *parts], n=n, level=level, paired=paired, note=note, **how)
    if samples.is_difference and metric in samples.by_group:
        found = replace(found, discordant=Discordant.of(samples.by_group[metric]))
        if found.standard_error == 0:  # the jackknife finds no variance where all groups change alike
            found = replace(found, low=of_images.low, high=of_images.high)
    return replace(found, low=float("nan"), high=float("nan")) if samples.too_wide(metric) else found
