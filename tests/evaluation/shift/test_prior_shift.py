"""EM recovers the shares where these alone shift, and is refused where it can't tell them or where it is wrong."""

import numpy as np
import pytest

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.prior_shift import estimate_prior_shift

CLASSES = ["bcc", "mel", "nv"]
POSITIVE = ["bcc", "mel"]
HOME = np.array([0.1, 0.2, 0.7])
MEANS = np.array([[0, 2.0], [2.0, 0], [-1.0, -1.0]])


def place(shares, n, seed, distance=1.5, moved=0.0):
    """The calibrated posterior at home's shares for points of Gaussian classes; `moved` towards the nevi."""
    rng = np.random.default_rng(seed)
    target = rng.choice(3, n, p=shares)
    means = MEANS * distance
    x = means[target] + rng.normal(size=(n, 2)) + moved * (means[2] - means[target])
    density = np.exp(-((x[:, None] - means) ** 2).sum(2) / 2) * HOME
    ids = np.array([f"{seed}_{i}" for i in range(n)], object)
    arrays = ids, ids, np.full(n, "", object), np.zeros(n, np.int64)
    return Predictions(CLASSES, density / density.sum(1, keepdims=True), target, *arrays)


def estimate(outside, home):
    return estimate_prior_shift(outside, home, POSITIVE, n_draws=30)


def test_em_recovers_shares_that_alone_shift():
    shares = np.array([0.1, 0.5, 0.4])
    outside = place(shares, 400, 1)
    found = estimate(outside, place(HOME, 500, 0))
    assert found.refusals == []
    for name, share in zip(CLASSES, shares, strict=True):
        assert found.shares[name].low - 0.01 <= share <= found.shares[name].high + 0.01
    assert found.positive.value == pytest.approx(0.6, abs=0.08)
    assert found.counted.value == pytest.approx(0.6, abs=0.08)


def test_the_correction_restores_the_calibration_in_the_large():
    outside = place(np.array([0.1, 0.5, 0.4]), 800, 1, distance=0.7)
    found = estimate(outside, place(HOME, 800, 0, distance=0.7))
    assert found.refusals == []
    before = np.abs(outside.probabilities.mean(0) - np.bincount(outside.target) / 800).max()
    after = np.abs(found.correct(outside, HOME).probabilities.mean(0) - np.bincount(outside.target) / 800).max()
    assert before > 0.08
    assert after < before / 2


def test_classes_that_are_not_told_apart_are_refused():
    found = estimate(place(np.array([0.1, 0.5, 0.4]), 150, 1, distance=0.1), place(HOME, 300, 0, distance=0.1))
    assert any("do not tell the classes apart" in each for each in found.refusals)


def test_images_that_differ_within_a_class_are_refused_by_their_labels():
    found = estimate(place(np.array([0.1, 0.5, 0.4]), 400, 1, moved=0.6), place(HOME, 500, 0))
    (contradicted,) = [each for each in found.refusals if each.startswith("the labels contradict")]
    assert "positive " in contradicted
    assert "labelled 0.5" in contradicted or "labelled 0.6" in contradicted
