"""The smooth calibration curve: the identity for a calibrated model, and a band that holds the truth."""

import numpy as np
import pytest

from skinlab.evaluation.calibration.smooth import calibration_curve, spline
from skinlab.evaluation.statistics.intervals import Variance, t_interval


def rows(n: int, seed: int, images: int = 1, slope: float = 1.0):
    """Lesions whose true logit is the model's times a slope; images of a lesion share its truth and vary a little."""
    rng = np.random.default_rng(seed)
    logit = np.repeat(rng.normal(-1, 1.5, n), images)
    truth = np.repeat(rng.random(n), images) < 1 / (1 + np.exp(-slope * logit))
    return 1 / (1 + np.exp(-logit)), truth, np.repeat(np.arange(n), images)


def test_a_calibrated_model_has_the_diagonal():
    found = calibration_curve(*rows(40_000, 0))
    assert found is not None
    assert found["observed"] == pytest.approx(found["probability"], abs=0.02)
    assert found["ici"] < 0.01
    assert found["e50"] <= found["ici"] * 2 <= 2 * found["e90"]


def test_an_overconfident_model_is_shown_as_one():
    found = calibration_curve(*rows(40_000, 1, slope=0.5))
    assert found is not None
    p = np.array(found["probability"])
    assert found["observed"] == pytest.approx((1 / (1 + ((1 - p) / p) ** 0.5)).tolist(), abs=0.03)
    assert found["ici"] > 0.05


def test_the_spline_is_linear_outside_its_knots():
    knots = np.array([-1.0, 0.0, 1.0, 2.0])
    x = np.array([-3.0, -2.0, -1.5, 3.0, 4.0, 5.0])
    terms = spline(x, knots)
    assert terms[2:, :3] == pytest.approx(0)
    assert terms[:, 5] - terms[:, 4] == pytest.approx(terms[:, 4] - terms[:, 3])


def test_few_groups_or_separated_classes_have_no_curve():
    p, _, groups = rows(200, 2)
    assert calibration_curve(p, groups < 4, groups) is None
    assert calibration_curve(p, p > 0.3, groups) is None


@pytest.mark.slow
@pytest.mark.parametrize(("n", "images"), [(150, 1), (300, 3), (1000, 2)])
def test_the_band_covers_at_each_probability(n, images):
    held = []
    for seed in range(300):
        found = calibration_curve(*rows(n, seed, images, slope=0.7))
        assert found is not None
        p = np.array(found["probability"])
        truth = 1 / (1 + ((1 - p) / p) ** 0.7)
        held.append((np.array(found["low"]) <= truth) & (truth <= np.array(found["high"])))
    coverage = np.mean(held, axis=0)
    assert 0.92 <= coverage.mean() <= 0.975
    assert coverage.min() > 0.88


def test_the_distances_have_no_interval_and_the_reason():
    found = calibration_curve(*rows(300, 3))
    assert found is not None
    assert isinstance(found["ici"], float)
    assert found["note"].startswith("no interval: resampling adds to what is above zero by chance")


@pytest.mark.slow
def test_resampled_intervals_of_the_mean_distance_miss_the_truth():
    """Why the ICI has no interval: of a nearly calibrated model percentiles and the jackknife hold it too seldom."""
    slope = 0.9
    logit = np.random.default_rng(9).normal(-1, 1.5, 400_000)
    truth = np.abs(1 / (1 + np.exp(-slope * logit)) - 1 / (1 + np.exp(-logit))).mean()
    percentiles, jackknife = [], []
    for seed in range(60):
        p, positive, _ = rows(300, seed, slope=slope)
        rng, n = np.random.default_rng(seed), len(p)

        def ici(kept, p=p, positive=positive):
            found = calibration_curve(p[kept], positive[kept], np.arange(len(kept)))
            return found["ici"]

        low, high = np.quantile([ici(rng.integers(n, size=n)) for _ in range(100)], [0.025, 0.975])
        percentiles.append(low <= truth <= high)
        part, value = rng.permutation(n) % 20, ici(np.arange(n))
        left = np.array([ici(np.flatnonzero(part != k)) for k in range(20)])
        ends = t_interval(value, Variance(float(19 * left.var()), 19), (0, 1))
        jackknife.append(ends[0] <= truth <= ends[1])
    assert np.mean(percentiles) < 0.9
    assert np.mean(jackknife) < 0.92
