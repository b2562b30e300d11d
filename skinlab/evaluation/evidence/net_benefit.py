"""Differences of net benefit between systems on the same images: two decision curves, paired, at stated thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence import interval_form
from skinlab.evaluation.evidence.calibration import calibrated_scores, weights_at_prevalence
from skinlab.evaluation.evidence.comparison_form import NetBenefit, NetBenefitDifference
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import LEVEL, BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.comparison import pairs_of
from skinlab.evaluation.statistics.intervals import AT_BOUND, Interval
from skinlab.evaluation.statistics.support import FEW_GROUPS
from skinlab.evaluation.statistics.trainings import SINGLE, Replicates, Trainings, difference_estimate
from skinlab.evaluation.thresholds.utility import decision_curve
from skinlab.processes.progress import track
from skinlab.text import quantity

Floats = npt.NDArray[np.float64]

OWN, CALIBRATED = "probabilities as they are", "after calibration"


@dataclass(frozen=True)
class BinaryViews:
    """The binary views of a system's trainings, on the same rows, and in what the trainings differ."""

    tables: Sequence[Predictions]
    replicates: Replicates = SINGLE


@dataclass(frozen=True)
class NetBenefitSettings:
    """How net benefit is compared.

    Attributes:
        thresholds: probabilities above 0 and below 1 at which one would act.
        calibration: whether it is compared after calibration, too.
        prevalence: share of positives; None: that of the rows.
        reference: the system that all others are compared with; None compares every pair.
        level: of the intervals.
        seed: of the folds.
    """

    thresholds: Sequence[float]
    calibration: bool = True
    prevalence: float | None = None
    reference: str | None = None
    level: float = LEVEL
    seed: int = 0


def compare_net_benefit(systems: Sequence[tuple[str, BinaryViews]], how: NetBenefitSettings) -> NetBenefit | None:
    """Return the difference of net benefit of every pair of systems at each threshold (Vickers et al., 2008).

    Differences are those of the probabilities as they are and of calibrated ones, which are cross-fitted by group:
    miscalibration lowers the net benefit (Van Calster and Vickers, 2015). Their intervals count the images, with the
    calibrators held fixed, and the trainings where both systems have several. They hold at each threshold by itself:
    curves are read, not tested at each point, so that there is no p-value (Vickers, van Calster and Steyerberg, 2019).

    Args:
        systems: name and views of each, of the same rows.
        how: see :class:`NetBenefitSettings`.

    Returns:
        None with one system, without thresholds, or without positives or negatives. With fewer than 20 groups of
        either there are no intervals.
    """
    if len(systems) < 2 or not how.thresholds:
        return None
    first = systems[0][1].tables[0]
    resampler = Resampler(first.group, first.target, first.classes)
    if resampler.counts.of_class.min() == 0:
        return None
    shown = track(systems, "net benefit of each system", len(systems))
    trainings = [(name, _trainings(views, resampler, how)) for name, views in shown]
    found: NetBenefit = {"prevalence": how.prevalence, "differences": [], "sentences": []}
    for (name_a, a), (name_b, b) in pairs_of(trainings, how.reference):
        rows: list[NetBenefitDifference] = [
            {
                "a": name_a,
                "b": name_b,
                "threshold": threshold,
                "difference": _difference(a, b, _name(OWN, threshold), how.level).to_dict(),
                "calibrated": _difference(a, b, _name(CALIBRATED, threshold), how.level).to_dict()
                if how.calibration
                else None,
            }
            for threshold in how.thresholds
        ]
        found["differences"] += rows
        found["sentences"].append(_sentence(rows, how))
    return found


def _trainings(views: BinaryViews, resampler: Resampler, how: NetBenefitSettings) -> Trainings:
    """Return the net benefit of each training at each threshold, without each part of the groups."""
    samples = [_samples(view, resampler, how) for view in views.tables]
    return Trainings(dict(zip(views.replicates.keys, samples, strict=True)), views.replicates.overlap)


def _samples(view: Predictions, resampler: Resampler, how: NetBenefitSettings) -> BootstrapSamples:
    truth, scores = view.target == 1, {OWN: view.probabilities[:, 1]}
    if how.calibration:
        scores[CALIBRATED] = calibrated_scores(view, how.prevalence, seed=how.seed)

    def statistic(weights: Floats) -> dict[str, Floats]:
        weights = weights_at_prevalence(weights, truth, how.prevalence)
        return {
            _name(kind, threshold): row
            for kind, score in scores.items()
            for threshold, row in zip(
                how.thresholds, decision_curve(score, truth, how.thresholds, weights).net_benefit, strict=True
            )
        }

    return bootstrap(statistic, resampler, n_draws=0)


def _name(kind: str, threshold: float) -> str:
    return f"{kind}, {threshold:g}"


def _difference(a: Trainings, b: Trainings, name: str, level: float) -> Interval:
    found = difference_estimate(a, b, name, level)
    counts = next(iter(a.samples.values())).resampler.counts
    n, of_class = min(zip(counts.of_class.tolist(), counts.classes, strict=True))
    if n < FEW_GROUPS:
        return Interval.none(
            found.value,
            f"no interval: {quantity(n, 'group')} of {of_class}, at least {FEW_GROUPS} are needed",
        )
    return found.interval() if found.standard_error > 0 else Interval.none(found.value, AT_BOUND)


def _sentence(rows: Sequence[NetBenefitDifference], how: NetBenefitSettings) -> str:
    kind = f"{CALIBRATED}, " if how.calibration else ""
    share = f"{how.prevalence:.1%}" if how.prevalence is not None else "as in the images"
    spans = [
        f"{_span(row['calibrated'] or row['difference'])} at p \N{GREATER-THAN OR EQUAL TO} {row['threshold']:g}"
        for row in rows
    ]
    return (
        f"Net benefit of {rows[0]['a']} minus {rows[0]['b']} ({kind}prevalence {share}; each interval counts alone): "
        f"{', '.join(spans)}."
    )


def _span(found: interval_form.Interval) -> str:
    value, low, high = (found[end] for end in ("value", "low", "high"))
    ends = f" [{low:+z.3f}, {high:+z.3f}]" if low is not None and np.isfinite(low) else " (no interval)"
    return f"{value:+z.3f}{ends}".replace("-", "\N{MINUS SIGN}")
