"""Both arms have the same mix of strata, and their difference is that of Mantel and Haenszel."""

from dataclasses import replace

import numpy as np
import pytest

from skinlab.evaluation.shift.matching import Arm
from skinlab.evaluation.shift.yardstick import Yardstick
from tests.evaluation.shift.test_yardstick import CLASSES, predictions


def test_arms_have_the_same_mix_and_single_strata_do_not_count():
    rng = np.random.default_rng(0)
    stratum, rows = rng.integers(0, 5, 200), rng.random(200) < 0.3
    rows[stratum == 4] = True  # a stratum of one arm
    weights = rng.integers(0, 3, (200, 4)).astype(float)
    here, there = Arm(stratum, rows)(weights), Arm(stratum, ~rows)(weights)
    for s in range(5):
        assert here[stratum == s].sum(0) == pytest.approx(there[stratum == s].sum(0))
    assert not here[~rows].any()
    assert not here[stratum == 4].any()
    assert (Arm(stratum, rows).counted() == (rows & (stratum < 4))).all()


def test_the_difference_is_that_of_mantel_and_haenszel():
    table = predictions(600)
    rng = np.random.default_rng(1)
    source = rng.integers(0, 2, 600)
    stratum, has = source * 3 + table.target, rng.random(600) < 0.2 + 0.2 * source
    yardstick = Yardstick(CLASSES[:2], 0.6)
    arms = [yardstick.samples(table, weighting=Arm(stratum, rows)) for rows in (has, ~has)]
    found = yardstick.paired(*arms)["specificity"]
    called, numerator, total = yardstick.calls(table), 0.0, 0.0
    for s in np.unique(stratum[table.target == 2]):
        own = stratum == s
        n, m = (own & has).sum(), (own & ~has).sum()
        weight = n * m / (n + m)
        numerator += weight * ((~called)[own & has].mean() - (~called)[own & ~has].mean())
        total += weight
    assert found["difference"]["value"] == pytest.approx(numerator / total)
    assert found["difference"]["low"] < numerator / total < found["difference"]["high"]
    assert found["p"] > 0.01


def test_a_class_mix_that_goes_with_the_arm_is_no_difference():
    """Scores by class alone: raw specificities differ with the mix of the benign classes, matched ones do not."""
    table = predictions(600)
    target = np.where(table.target == 1, 0, table.target)
    target[::2] = np.where(target[::2] == 2, 1, target[::2])  # bcc positive; mel and nv stand for two benign classes
    score = np.choose(target, [0.9, 0.7, 0.1])
    table = replace(table, target=target, probabilities=np.stack([score, (1 - score) / 2, (1 - score) / 2], 1))
    has = np.random.default_rng(2).random(600) < np.choose(target, [0.3, 0.6, 0.1])
    yardstick = Yardstick(CLASSES[:1], 0.5)
    called = yardstick.calls(table)
    assert called[has & (target > 0)].mean() - called[~has & (target > 0)].mean() > 0.3
    arms = [yardstick.samples(table, weighting=Arm(target, rows)) for rows in (has, ~has)]
    assert yardstick.paired(*arms)["specificity"]["difference"]["value"] == pytest.approx(0)
