"""Class shares of another place from its probabilities alone, and a refusal where they are not identifiable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from skinlab.evaluation.calibration.calibrators import correct_prior
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.intervals import Interval, wilson_interval
from skinlab.evaluation.thresholds.prevalence import N_DRAWS, sampled_shares

Floats = npt.NDArray[np.float64]

# An estimate whose interval is wider than that of so many labelled images is not worth a correction: label these.
WORTH_LABELLED = 30
OFF = 0.05  # of a share, from which an estimate outside its interval counts as wrong: the shift is not of shares alone
SMALLEST = 1e-12
POSITIVE = "positive"  # beside the classes


@dataclass(frozen=True)
class PriorShift:
    """The estimated class shares of a place.

    Attributes:
        shares: class → share by EM.
        positive: share of the positive classes by EM.
        counted: the same by the adjusted count of decisions, which needs no calibration.
        labelled: the labelled share of each class, and as ``positive`` of the positive ones.
        refusals: why the estimate is not to be used; none where nothing speaks against it.
    """

    shares: dict[str, Interval]
    positive: Interval
    counted: Interval
    labelled: dict[str, float]
    refusals: list[str] = field(default_factory=list)

    def correct(self, table: Predictions, prior: Floats) -> Predictions:
        """Return a table with its probabilities corrected from the shares at home ``(C,)`` to the estimated ones."""
        wanted = np.array([self.shares[name].value for name in table.classes])
        return table.with_probabilities(correct_prior(table.probabilities, np.maximum(prior, SMALLEST), wanted))


def estimate_prior_shift(
    pool: Predictions,
    reference: Predictions,
    positive: Sequence[str],
    *,
    level: float = 0.95,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> PriorShift:
    """Estimate a place's class shares by EM (Saerens, Latinne and Decaestecker, 2002), with bootstrap intervals.

    The probabilities are calibrated on the reference first, anew in each sample of whole groups. The labels of the pool
    are not used for the estimate; they only tell where it is wrong. It holds where the classes' shares alone differ
    (label shift); other images within a class break that.

    Args:
        pool: of the place, labelled.
        reference: labelled images at home.
        positive: the positive classes.
        level: of the intervals.
        n_draws: bootstrap samples.
        seed: of these.
    """
    numbers = [c for c, name in enumerate(pool.classes) if name in positive]
    (shares, found), *samples = sampled_shares(
        pool.probabilities,
        reference.probabilities,
        reference.target,
        numbers,
        pool.group,
        reference.group,
        n_draws=n_draws,
        seed=seed,
    )
    of_classes = _with_ends(shares, np.array([each for each, _ in samples]), level)
    pair = np.array([found["em"], found["adjusted_count"]])
    drawn = np.array([[each["em"], each["adjusted_count"]] for _, each in samples])
    em, counted = _with_ends(pair, drawn, level)
    (apart,) = _with_ends(pair[:1] - pair[1:], drawn[:, :1] - drawn[:, 1:], level)
    true = np.bincount(pool.target, minlength=len(pool.classes)) / len(pool)
    labelled = {POSITIVE: float(true[numbers].sum()), **dict(zip(pool.classes, true.tolist(), strict=True))}
    estimate = PriorShift(dict(zip(pool.classes, of_classes, strict=True)), em, counted, labelled)
    return replace(estimate, refusals=_refusals(estimate, apart, level))


def _refusals(found: PriorShift, apart: Interval, level: float) -> list[str]:
    """Return why an estimate is not to be used.

    Args:
        found: the estimate.
        apart: difference of both estimates of the positive share.
        level: of the intervals.
    """
    em, reasons = _words(found.positive), []
    low, high = wilson_interval(found.positive.value, WORTH_LABELLED, float(norm.ppf((1 + level) / 2)))
    if not found.positive.high - found.positive.low <= high - low:
        reasons.append(
            f"the probabilities do not tell the classes apart well enough: the share of positives is {em}, wider than "
            f"of {WORTH_LABELLED} labelled images"
        )
    if _misses(apart, 0.0):
        reasons.append(
            f"two estimates disagree: EM finds a share of positives of {em}, the adjusted count "
            f"{_words(found.counted)}, so that more than the shares of the classes differs"
        )
    wrong = [
        f"{name} {_words(share)}, labelled {found.labelled[name]:.3f}"
        for name, share in {POSITIVE: found.positive, **found.shares}.items()
        if _misses(share, found.labelled[name])
    ]
    if wrong:
        reasons.append(
            f"the labels contradict the estimate ({'; '.join(wrong)}): the images within a class differ, not their "
            "shares alone"
        )
    return reasons


def _misses(estimate: Interval, value: float) -> bool:
    """Return whether a value is clearly another than estimated: outside the interval, and far off."""
    return not estimate.low <= value <= estimate.high and abs(estimate.value - value) > OFF


def _words(share: Interval) -> str:
    return f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"


def _with_ends(values: Floats, samples: Floats, level: float) -> list[Interval]:
    """Return values ``(K,)`` with the percentiles of their samples ``(B, K)``."""
    ends = np.nanquantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [Interval(float(v), float(a), float(b)) for v, a, b in zip(values, *ends, strict=True)]
