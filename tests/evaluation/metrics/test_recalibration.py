import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skinlab.evaluation.metrics.recalibration import slope_and_intercept


def outcome(n: int = 3000, slope: float = 1.0, shift: float = 0.0):
    rng = np.random.default_rng(0)
    logit = rng.normal(-1, 1.5, n)
    truth = rng.random(n) < 1 / (1 + np.exp(-(slope * logit + shift)))
    return 1 / (1 + np.exp(-logit)), truth.astype(float)


def test_the_fit_is_scikit_learn_s():
    p, truth = outcome(slope=0.6, shift=0.4)
    slope, _ = slope_and_intercept(p, truth)
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(np.log(p / (1 - p))[:, None], truth)
    assert slope.coefficients == pytest.approx([oracle.coef_[0, 0], oracle.intercept_[0]], abs=1e-6)


def test_it_finds_the_distortion():
    slope, intercept = slope_and_intercept(*outcome(60_000, slope=0.5))
    assert slope.coefficients[0] == pytest.approx(0.5, abs=0.03)
    slope, intercept = slope_and_intercept(*outcome(60_000, shift=-0.7))
    assert intercept.coefficients[0] == pytest.approx(-0.7, abs=0.05)


def test_the_intercept_makes_the_mean_right():
    p, truth = outcome(shift=1.0)
    _, intercept = slope_and_intercept(p, truth)
    moved = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + intercept.coefficients[0])))
    assert moved.mean() == pytest.approx(truth.mean(), abs=1e-9)


def test_one_step_for_a_draw_is_close_to_its_own_fit():
    p, truth = outcome()
    slope, _ = slope_and_intercept(p, truth)
    assert slope.step(slope.rows.sum(1)[:, None])[0] == pytest.approx(slope.coefficients[0], abs=1e-9)
    rows = np.random.default_rng(1).integers(len(p), size=len(p))
    own, _ = slope_and_intercept(p[rows], truth[rows])
    weights = np.bincount(rows, minlength=len(p))[:, None].astype(float)
    moved = abs(own.coefficients[0] - slope.coefficients[0])
    assert abs(slope.step(slope.rows @ weights)[0] - own.coefficients[0]) < 0.1 * moved


def test_separable_or_constant_probabilities_have_no_slope():
    separable, _ = slope_and_intercept(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0, 1, 1]))
    constant, intercept = slope_and_intercept(np.full(4, 0.5), np.array([0.0, 1, 1, 1]))
    assert np.isnan(separable.coefficients).all()
    assert np.isnan(constant.coefficients).all()
    assert intercept.coefficients[0] == pytest.approx(np.log(3))
