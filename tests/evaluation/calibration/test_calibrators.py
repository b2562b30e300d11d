"""Calibrators: known distortions are undone, predictions stay where they must, and rows of the fit aren't evaluated."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.isotonic import IsotonicRegression

from skinlab.evaluation.calibration.calibrators import (
    CALIBRATORS,
    Isotonic,
    Temperature,
    Vector,
    calibrator_from_dict,
    correct_prior,
    cross_fit,
    cross_fit_prior,
    fit_calibrator,
)
from skinlab.evaluation.statistics.folds import group_folds


def calibrated(n: int, c: int, seed: int = 0):
    """Probabilities that are right about classes drawn from them."""
    rng = np.random.default_rng(seed)
    p = softmax(rng.normal(0, 2, (n, c)), axis=1)
    return p, (rng.random((n, 1)) > p.cumsum(1)).sum(1).clip(max=c - 1)


def log_loss(p, target):
    return -np.log(p[np.arange(len(p)), target]).mean()


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_temperature_recovers_a_known_distortion(true):
    p, target = calibrated(20_000, 4)
    distorted = softmax(np.log(p) * true, axis=1)
    fitted = Temperature.fit(distorted, target)
    assert fitted.temperature == pytest.approx(true, rel=0.04)
    assert np.abs(fitted(distorted) - p).max() < 0.02


def test_temperature_is_scipy_s_optimum():
    p, target = calibrated(300, 3, 1)

    def loss(t):
        return -log_softmax(np.log(p) / t[0], axis=1)[np.arange(300), target].mean()

    best = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14})
    assert Temperature.fit(p, target).temperature == pytest.approx(best.x[0], abs=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 0.7, 10.0])
def test_temperature_never_changes_a_prediction(temperature):
    p = np.vstack([calibrated(500, 7)[0], np.eye(7), np.full((1, 7), 1 / 7)])
    q = Temperature(temperature)(p)
    assert (q.argmax(1) == p.argmax(1)).all()
    assert q.sum(1) == pytest.approx(np.ones(len(p)))


def test_temperature_one_is_no_calibration():
    p, _ = calibrated(50, 3)
    assert Temperature(1.0)(p) == pytest.approx(p)
    assert Vector((1.0,) * 3, (0.0,) * 3)(p) == pytest.approx(p)


def test_vector_undoes_a_shift_of_one_class():
    p, target = calibrated(20_000, 3)
    distorted = softmax(np.log(p) + np.array([0, 1.5, 0]), axis=1)
    fitted = Vector.fit(distorted, target)
    assert np.abs(fitted(distorted) - p).max() < 0.05
    assert log_loss(fitted(distorted), target) < log_loss(Temperature.fit(distorted, target)(distorted), target) - 0.05


def test_vector_with_a_tight_prior_is_temperature():
    p, target = calibrated(200, 3, 3)
    temperature = Temperature.fit(p, target)
    assert Vector.fit(p, target, prior_sd=1e-4)(p) == pytest.approx(temperature(p), abs=1e-5)


@pytest.mark.parametrize("prior_sd", [0.1, 1.0, 1e3])
def test_vector_is_scipy_s_optimum(prior_sd):
    p, target = calibrated(400, 3, 4)
    p = softmax(np.log(p) * 2 + np.array([0, 1, 0]), axis=1)
    center = np.r_[np.full(3, 1 / Temperature.fit(p, target).temperature), np.zeros(3)]

    def loss(theta):
        likelihood = log_softmax(theta[:3] * np.log(p) + theta[3:], axis=1)[np.arange(400), target].mean()
        return ((theta - center) ** 2).sum() / (2 * 400 * prior_sd**2) - likelihood

    best = minimize(loss, center, method="BFGS")
    fitted = Vector.fit(p, target, prior_sd=prior_sd)
    assert loss(np.r_[fitted.scale, fitted.bias]) == pytest.approx(best.fun, abs=1e-8)


def test_vector_never_turns_a_class_s_scores_around():
    p, _ = calibrated(500, 3, 4)
    assert min(Vector.fit(p, p.argmin(1)).scale) >= 0


@pytest.mark.parametrize("n", [1, 4, 12])
def test_few_rows_do_not_blow_up_vector_scaling(n):
    p, target = calibrated(n, 7, 5)
    fitted = Vector.fit(p, p.argmax(1))
    assert np.abs(fitted.bias).max() < 3
    assert min(fitted.scale) >= 0
    assert max(fitted.scale) <= 10 + 3
    assert np.isfinite(Vector.fit(p, target)(np.eye(7))).all()


def test_isotonic_is_scikit_learn_s_one_against_the_rest():
    p, target = calibrated(300, 3)
    fresh = np.vstack([calibrated(200, 3, 9)[0], np.eye(3)])
    clipped = [IsotonicRegression(y_min=1 / 302, y_max=301 / 302, out_of_bounds="clip") for _ in range(3)]
    mass = np.stack([each.fit(p[:, i], target == i).predict(fresh[:, i]) for i, each in enumerate(clipped)], axis=1)
    assert Isotonic.fit(p, target)(fresh) == pytest.approx(mass / mass.sum(1, keepdims=True))


def test_isotonic_rules_no_class_out():
    p = np.eye(2)[[0, 0, 1, 1, 1]]
    fitted = Isotonic.fit(p, np.array([0, 0, 1, 1, 1]))
    assert fitted(p)[:, 0] == pytest.approx([6 / 7, 6 / 7, 1 / 7, 1 / 7, 1 / 7])


@pytest.mark.parametrize("method", CALIBRATORS)
def test_json_round_trip_is_exact(method):
    p, target = calibrated(100, 4, 6)
    fitted = fit_calibrator(method, p, target)
    again = calibrator_from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    assert (again(p) == fitted(p)).all()
    assert fitted(p).sum(1) == pytest.approx(np.ones(100))


@pytest.mark.parametrize("method", CALIBRATORS)
def test_absent_classes_certain_and_constant_rows_stay_finite(method):
    target = np.array([0, 1, 0, 1] * 5)
    for p in (np.eye(3)[target], np.eye(3)[1 - target], np.full((20, 3), 1 / 3)):
        q = cross_fit(method, p, target, np.arange(20))
        assert np.isfinite(q).all()
        assert q.sum(1) == pytest.approx(np.ones(20))


@pytest.mark.parametrize("method", ["temperature", "vector", "isotonic"])
def test_cross_fit_does_not_use_its_own_group(method):
    p, target = calibrated(60, 3)
    groups = np.arange(60) // 3
    got, folds = cross_fit(method, p, target, groups, 4, seed=2), group_folds(groups, target, 4, seed=2)
    for fold in range(4):
        held = folds == fold
        assert set(groups[held]).isdisjoint(groups[~held])
        assert got[held] == pytest.approx(fit_calibrator(method, p[~held], target[~held])(p[held]))
    assert (got == cross_fit(method, p, target, groups, 4, seed=2)).all()


def test_cross_fit_helps_an_overconfident_system_on_held_out_rows():
    p, target = calibrated(2000, 4)
    distorted = softmax(np.log(p) * 3, axis=1)
    for method in ("temperature", "vector"):
        assert log_loss(cross_fit(method, distorted, target, np.arange(2000)), target) < log_loss(distorted, target)
    assert (cross_fit("none", distorted, target, np.arange(2000)) == distorted).all()


def test_prior_correction_is_exactly_invertible():
    p, _ = calibrated(200, 4)
    trained, wanted = np.array([0.25, 0.25, 0.25, 0.25]), np.array([0.67, 0.2, 0.12, 0.01])
    there = correct_prior(p, trained, wanted)
    assert np.abs(correct_prior(there, wanted, trained) - p).max() < 1e-12
    assert correct_prior(p, wanted, wanted) == pytest.approx(p, abs=1e-15)
    assert correct_prior(p, trained * 7, wanted * 90) == pytest.approx(there)


def test_prior_correction_is_bayes_rule():
    rng = np.random.default_rng(0)
    density = rng.random((50, 3))
    before, after = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.4, 0.0])
    posterior = density * before / (density * before).sum(1, keepdims=True)
    expected = density * after / (density * after).sum(1, keepdims=True)
    assert correct_prior(posterior, before, after) == pytest.approx(expected)
    assert correct_prior(np.array([[0.0, 0.0, 1.0]]), before, after).tolist() == [after.tolist()]


@pytest.mark.parametrize(
    ("training", "wanted", "message"),
    [([0.0, 1.0], [0.5, 0.5], "above zero"), ([0.5, 0.5], [-1, 2], "above zero"), ([0.5, 0.5], [1.0], "classes")],
)
def test_priors_that_make_no_sense_are_refused(training, wanted, message):
    with pytest.raises(ValueError, match=message):
        correct_prior(np.full((2, 2), 0.5), np.array(training), np.array(wanted))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_calibrator("platt", np.full((2, 2), 0.5), np.array([0, 1])), "choose one of none, temperature"),
        (lambda: fit_calibrator("vector", np.full((2, 2), 0.5), np.array([0, -1])), "1 of 2 rows"),
        (lambda: fit_calibrator("isotonic", np.full((2, 2), 0.5), np.array([0])), "1 label:"),
        (lambda: Vector((1.0, 1.0), (0.0, 0.0))(np.full((2, 3), 1 / 3)), "2 classes got 3"),
        (lambda: calibrator_from_dict({"method": "vector", "scale": [1.0]}), "lacks 'bias'"),
        (lambda: cross_fit("temperature", np.full((2, 2), 0.5), np.array([0, 1]), np.array(["a", "a"])), "1 group and"),
    ],
)
def test_mistakes_are_one_line_with_a_remedy(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_zeros_of_a_rounded_table_do_not_spoil_the_temperature():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3000, 5)) * 8
    target = (logits + rng.gumbel(size=(3000, 5)) * 2.5).argmax(1)
    exact = softmax(logits, axis=1)
    found = [fit_calibrator("temperature", p, target).temperature for p in (exact, exact.round(6))]
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_prior_is_corrected_by_other_groups_shares():
    """The shares of each row's fold are those of the rows outside it: the row's own label has no part."""
    p, target = np.full((40, 2), 0.5), np.arange(40) // 20
    groups = np.arange(40)
    found = cross_fit_prior(p, target, groups, np.array([0.5, 0.5]))
    folds = group_folds(groups, target)
    for fold in range(5):
        shares = np.bincount(target[folds != fold], minlength=2) / (folds != fold).sum()
        assert found[folds == fold] == pytest.approx(np.tile(shares, ((folds == fold).sum(), 1)))
