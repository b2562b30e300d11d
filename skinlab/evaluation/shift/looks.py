"""What a model still tells without the lesion, and which share of its saliency maps lies inside the lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.interval_form import Interval
from skinlab.evaluation.evidence.views import View
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.flags import in_words, interval_in_words
from skinlab.evaluation.shift.form import Condition, Flag
from skinlab.evaluation.shift.yardstick import DRAWS, LEAST_P, POSITIVE, Samples, Yardstick
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.p_values import holm, p_in_words
from skinlab.evaluation.statistics.unpaired import difference_p

Floats = npt.NDArray[np.float64]

AUROC = f"auroc/{POSITIVE}"
CHANCE = 0.5
POINTS = 0.05  # of the AUROC, as of the limit of its changes: the unit of a flag's size
INSIDE, AREA, EXCESS = "share of the map inside", "share of the area", "difference"


def flag_remaining(without: Sequence[tuple[Condition, Samples]]) -> list[Flag]:
    """Return a flag where the AUROC without the lesion lies above chance, after Holm's correction.

    Models that never see the lesion still beat chance by far on dermoscopic images (Bissoto et al., 2019,
    arXiv 1904.08818): what they use is outside the lesion.

    Args:
        without: conditions in which no lesion is left, with their bootstrap samples.
    """
    p_values = holm([_chance_p(samples[AUROC]) for _, samples in without])
    above = [
        (each["metrics"][AUROC], each, p)
        for (each, _), p in zip(without, p_values, strict=True)
        if p <= 0.05 and (each["metrics"][AUROC]["value"] or 0) > CHANCE
    ]
    if not above:
        return []
    found, worst, p = max(above, key=lambda row: row[0]["value"] or 0)
    remains = (found["value"] or 0) - CHANCE
    before = (found["value"] or 0) - (worst["changes"][AUROC]["difference"]["value"] or 0) - CHANCE
    others = f"; {len(above)} of {len(without)} conditions are above chance" if len(above) > 1 else ""
    share = f", {remains / before:.0%} of what it is above chance with it" if before > 0 else ""
    return [
        {
            "level": "watch",
            "sentence": f"With the {in_words(worst)} the AUROC is still {interval_in_words(found)}{share} "
            f"(p {p_in_words(p, p <= LEAST_P)} after Holm's correction{others}): the model uses what is outside the "
            "lesion.",
            "size": remains / POINTS,
        }
    ]


def area_alone(area: Floats, clean: Predictions, yardstick: Yardstick) -> Interval:
    """Return the AUROC of the positive classes by the lesion's share of the image alone.

    The outline of what was removed may be seen; this is what its size tells.

    Args:
        area: ``(N,)`` in [0, 1].
        clean: predictions of the same N images, for their classes and groups.
        yardstick: how they are measured.
    """
    view = yardstick.view(clean)
    by_area = view.with_probabilities(np.stack([1 - area, area], 1))
    samples = View([by_area], [AUROC]).samples(np.ones(len(area), bool), seed=yardstick.seed)
    return samples.interval(AUROC, yardstick.level).to_dict()


def map_shares(inside: Floats, area: Floats, rows: Predictions, yardstick: Yardstick) -> dict[str, Interval]:
    """Return the mean share of the saliency maps inside the lesion, of the lesion's area, and their difference.

    Args:
        inside: ``(N,)`` share of each map's sum that is inside the lesion.
        area: ``(N,)`` share of the image that the lesion is.
        rows: predictions of the same N images, for their groups.
        yardstick: level and seed of the intervals.
    """
    view = yardstick.view(rows)
    values = {INSIDE: inside, AREA: area, EXCESS: inside - area}
    samples = bootstrap(
        _Means(values), Resampler(view.group, view.target, view.classes), n_draws=DRAWS, seed=yardstick.seed
    )
    return {name: samples.interval(name, yardstick.level).to_dict() for name in values}


def flag_maps(shares: Mapping[str, Interval]) -> list[Flag]:
    """Return a flag where the maps are inside the lesion no more than its area is: the interval ends below 0."""
    excess = shares[EXCESS]
    if excess["high"] is None or not excess["high"] < 0:
        return []
    return [
        {
            "level": "watch",
            "sentence": f"Of the Grad-CAM maps {interval_in_words(shares[INSIDE])} lies inside the lesion, which is "
            f"{interval_in_words(shares[AREA])} of the image: what speaks for the class is rather outside.",
            "size": -(excess["value"] or 0) / POINTS,
        }
    ]


def _chance_p(samples: BootstrapSamples) -> float:
    """Return the p of an AUROC of chance; of a perfect one, which has no interval, that of all orders of the groups."""
    if samples.estimate[AUROC] == 1:
        n, _ = samples.fewest(AUROC)
        return max(1 / comb(2 * n, n), LEAST_P)
    return difference_p(samples, AUROC, LEAST_P, CHANCE)


class _Means:
    """Means of numbers of images under many weightings."""

    def __init__(self, values: Mapping[str, Floats]) -> None:
        self.values = values

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        return {name: each @ weights / weights.sum(0) for name, each in self.values.items()}
