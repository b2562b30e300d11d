"""What remains without the lesion is flagged where it is above chance, and only there."""

import numpy as np
import pytest

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.form import Flag
from skinlab.evaluation.shift.looks import AREA, EXCESS, INSIDE, area_alone, flag_maps, flag_remaining, map_shares
from skinlab.evaluation.shift.yardstick import Yardstick, altered_condition

YARDSTICK = Yardstick(["mel"], 0.5)


def predictions(strength: float, seed: int = 0, n: int = 300) -> Predictions:
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 3 == 0
    p = 1 / (1 + np.exp(-(rng.normal(0, 1, n) + strength * target)))
    names = np.array([f"i{row}" for row in range(n)], object)
    return Predictions(
        ["nv", "mel"], np.stack([1 - p, p], 1), target.astype(np.int64), names, names, names, np.full(n, -1)
    )


def flags(*strengths: float) -> list[Flag]:
    clean = predictions(2)
    reference, found = YARDSTICK.samples(clean), []
    for seed, strength in enumerate(strengths, 1):
        table = predictions(strength, seed + 10)
        samples = YARDSTICK.samples(table)
        condition = altered_condition("lesion removed", f"dose {seed}", table, clean, reference, YARDSTICK, samples)
        found.append((condition, samples))
    return flag_remaining(found)


def test_chance_is_no_flag():
    assert flags(0, 0, 0) == []


def test_below_chance_is_no_flag():
    assert flags(-1) == []


def test_the_most_that_remains_is_named():
    (flag,) = flags(0, 1, 0.6)
    assert flag["level"] == "watch"
    assert flag["sentence"].startswith("With the lesion removed, dose 2, the AUROC is still 0.7")
    assert "2 of 3 conditions are above chance" in flag["sentence"]


def test_the_area_alone_is_ranked():
    rows = predictions(0)
    found = area_alone(np.where(rows.target == 1, 0.4, 0.3), rows, YARDSTICK)
    assert found["value"] == 1
    flat = area_alone(np.random.default_rng(0).random(300), rows, YARDSTICK)
    assert flat["low"] is not None
    assert flat["high"] is not None
    assert flat["low"] < 0.5 < flat["high"]


@pytest.mark.parametrize(("shift", "n_flags"), [(0.2, 0), (0.0, 0), (-0.2, 1)])
def test_maps_outside_the_lesion_are_flagged(shift: float, n_flags: int):
    rows, rng = predictions(0), np.random.default_rng(1)
    area = rng.uniform(0.3, 0.5, 300)
    shares = map_shares(area + shift + rng.normal(0, 0.05, 300), area, rows, YARDSTICK)
    assert shares[EXCESS]["value"] == pytest.approx((shares[INSIDE]["value"] or 0) - (shares[AREA]["value"] or 0))
    assert len(flag_maps(shares)) == n_flags
