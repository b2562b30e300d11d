"""How well a score detects images that a model is not for, and how many it lets through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from skinlab.evaluation.evidence.interval_form import Interval
from skinlab.evaluation.shift.flags import interval_in_words
from skinlab.evaluation.shift.form import Flag
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.evaluation.statistics.intervals import wilson_interval
from skinlab.evaluation.statistics.p_values import holm

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

FALSE_ALARMS = 0.01  # share of home's images that may be held for foreign, as of the input gate
MAX_LET_THROUGH = 0.5  # a detector that lets more than half of a kind through leaves most of its images a diagnosis
CLASSES = ["home", "foreign"]
AUROC, LET_THROUGH = "auroc/foreign", "let_through"
DRAWS = 1000


@dataclass(frozen=True)
class Detected:
    """How a score tells foreign images from home's.

    Attributes:
        auroc: of telling them.
        let_through: share of the foreign ones that are not detected at the threshold with ``FALSE_ALARMS``.
        caught_p: p that it lets more than ``MAX_LET_THROUGH`` through, one-sided.
    """

    auroc: Interval
    let_through: Interval
    caught_p: float


def detect(
    home: Floats, home_groups: Texts, foreign: Floats, foreign_groups: Texts, *, level: float, seed: int
) -> Detected:
    """Measure a score, the higher the more foreign; the threshold is home's in each bootstrap sample.

    Args:
        home: ``(N,)`` scores of home's images.
        home_groups: ``(N,)`` lesion or patient of each.
        foreign: ``(M,)`` scores of the foreign images.
        foreign_groups: ``(M,)`` what belongs together among them.
        level: of the intervals; of the AUROC by the jackknife, of the share by percentiles of the bootstrap samples or
            Wilson's, whichever is wider.
        seed: of the bootstrap samples.
    """
    target = np.repeat([0, 1], [len(home), len(foreign)])
    groups = np.concatenate(
        [
            [f"{name} {group}" for group in each]
            for name, each in zip(CLASSES, (home_groups, foreign_groups), strict=True)
        ]
    )
    samples = bootstrap(
        _Detection(np.concatenate([home, foreign]), target == 1),
        Resampler(groups, target, CLASSES),
        n_draws=DRAWS,
        seed=seed,
    )
    values = samples.values[LET_THROUGH]
    ends = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    share = samples.estimate[LET_THROUGH]
    # At 0 and 1 all samples are alike; the interval is no narrower than that of as many groups.
    low, high = wilson_interval(share, len(np.unique(foreign_groups.astype(str))), norm.ppf((1 + level) / 2))
    return Detected(
        samples.interval(AUROC, level).to_dict(),
        {"value": share, "low": min(float(ends[0]), low), "high": max(float(ends[1]), high)},
        float((1 + (values <= MAX_LET_THROUGH).sum()) / (1 + len(values))),
    )


def flag_missed(kinds: Mapping[str, Mapping[str, Detected]]) -> list[Flag]:
    """Return a flag of the kinds that no detector catches, beyond chance after Holm's correction over the kinds.

    Args:
        kinds: of foreign images → detector → how it tells them.
    """
    p_values = holm([max(each.caught_p for each in found.values()) for found in kinds.values()])
    best = {kind: min(found.values(), key=lambda each: each.let_through["value"] or 0) for kind, found in kinds.items()}
    missed = [kind for kind, p in zip(kinds, p_values, strict=True) if p <= 0.05]
    if not missed:
        return []
    missed.sort(key=lambda kind: -(best[kind].let_through["value"] or 0))
    named = ", ".join(f"{kind} {interval_in_words(best[kind].let_through)}" for kind in missed)
    detectors = ", ".join(next(iter(kinds.values())))
    return [
        {
            "level": "watch",
            "sentence": f"Nothing catches {named}: this share gets through the best of {detectors} at "
            f"{FALSE_ALARMS:.0%} false alarms at home.",
            "size": (best[missed[0]].let_through["value"] or 0) / MAX_LET_THROUGH,
        }
    ]


class _Detection:
    """The AUROC and the share that is let through, under many weightings.

    Args:
        scores: ``(N,)``, the higher the more foreign; equal ones have one threshold.
        foreign: ``(N,)`` whether an image is.
    """

    def __init__(self, scores: Floats, foreign: npt.NDArray[np.bool_]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.foreign = foreign[self.order, None]
        self.ends = np.flatnonzero(np.append(np.diff(scores[self.order]) != 0, True))

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        ordered = weights[self.order]
        start = np.zeros((1, weights.shape[1]))
        with np.errstate(invalid="ignore"):  # a sample may hold no foreign image
            caught, alarms = (
                np.concatenate([start, (part := np.cumsum(ordered * side, 0))[self.ends] / part[-1]])
                for side in (self.foreign, ~self.foreign)
            )
        auroc = (np.diff(alarms, axis=0) * (caught[1:] + caught[:-1]) / 2).sum(0)
        return {AUROC: auroc, LET_THROUGH: 1 - np.where(alarms <= FALSE_ALARMS, caught, 0).max(0)}
