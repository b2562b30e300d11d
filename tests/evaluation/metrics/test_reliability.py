"""Reliability: bins of equal rows, groups that count once, and intervals that are scipy's."""

import numpy as np
import pytest
from scipy.stats import binomtest

from skinlab.evaluation.metrics.reliability import reliability, wilson_interval


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (7, 10), (299, 300)])
def test_wilson_is_scipy_s(hits, n):
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_reliability_bins_hold_equal_rows_and_ties_stay_together():
    rng = np.random.default_rng(0)
    confidence = rng.random(300)
    correct = rng.random(300) < confidence
    got = reliability(confidence, correct, n_bins=15)
    assert got["rows"] == [20] * 15
    order = np.argsort(confidence)
    assert got["accuracy"] == pytest.approx(correct[order].reshape(15, 20).mean(1))
    assert got["confidence"] == pytest.approx(confidence[order].reshape(15, 20).mean(1))
    assert got["low"][3] < got["accuracy"][3] < got["high"][3]
    assert reliability(np.full(9, 0.7), np.ones(9, bool))["rows"] == [9]


def test_reliability_counts_doubled_rows_of_a_group_once():
    rng = np.random.default_rng(1)
    confidence, correct = rng.random(60), rng.random(60) < 0.5
    once = reliability(confidence, correct, np.arange(60), n_bins=4)
    twice = reliability(np.repeat(confidence, 2), np.repeat(correct, 2), np.repeat(np.arange(60), 2), n_bins=4)
    assert once == reliability(confidence, correct, n_bins=4)
    assert twice["low"] == pytest.approx(once["low"])
    assert twice["rows"] == [30] * 4


def test_the_intervals_have_the_level_asked_for():
    confidence, correct = np.full(20, 0.7), np.arange(20) < 14
    found = reliability(confidence, correct, level=0.9)
    expected = binomtest(14, 20).proportion_ci(0.9, method="wilson")
    assert (found["low"][0], found["high"][0]) == pytest.approx((expected.low, expected.high))
