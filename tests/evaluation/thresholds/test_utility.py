"""Net benefit, cost, predictive values and abstention, worked by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_score

from skinlab.evaluation.thresholds.utility import (
    decision_curve,
    expected_cost,
    npv_at_prevalence,
    ppv_at_prevalence,
    risk_coverage,
)


def rows(n: int = 200, seed: int = 0):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.2
    return np.clip(rng.normal(0.3 + 0.3 * truth, 0.15), 0, 1).round(2), truth


def test_net_benefit_is_that_of_the_confusion_matrix():
    score, truth = rows()
    thresholds = np.array([0.05, 0.1, 0.37, 0.5, 0.9])
    curve = decision_curve(score, truth, thresholds)
    for t, got, everyone in zip(thresholds, curve.net_benefit, curve.treat_all, strict=True):
        _, fp, _, tp = confusion_matrix(truth, score >= t).ravel()
        assert got == pytest.approx(tp / 200 - fp / 200 * t / (1 - t))
        assert everyone == pytest.approx(truth.mean() - (1 - truth.mean()) * t / (1 - t))


def test_net_benefit_has_its_known_ends():
    score, truth = rows()
    curve = decision_curve(score, truth, [0.0])
    assert curve.net_benefit == pytest.approx(truth.mean())
    assert curve.treat_all == pytest.approx(curve.net_benefit)
    assert decision_curve(truth.astype(float), truth, [0.3, 0.8]).net_benefit == pytest.approx([truth.mean()] * 2)
    assert decision_curve(np.zeros(200), truth, [0.3]).net_benefit == 0
    assert decision_curve(score, truth, [truth.mean()]).treat_all == pytest.approx(0, abs=1e-12)


def test_weights_are_repeated_rows():
    score, truth = rows()
    weights = np.random.default_rng(1).poisson(1, (200, 5)).astype(float)
    thresholds = np.linspace(0.05, 0.95, 10)
    many = decision_curve(score, truth, thresholds, weights)
    assert many.net_benefit.shape == many.treat_all.shape == (10, 5)
    for b in range(5):
        index = np.repeat(np.arange(200), weights[:, b].astype(int))
        one = decision_curve(score[index], truth[index], thresholds)
        assert many.net_benefit[:, b] == pytest.approx(one.net_benefit)
        assert many.treat_all[:, b] == pytest.approx(one.treat_all)
        assert decision_curve(score, truth, thresholds, weights[:, b]).net_benefit == pytest.approx(one.net_benefit)


@pytest.mark.parametrize("threshold", [1.0, -0.1, np.nan])
def test_thresholds_outside_are_refused(threshold):
    with pytest.raises(ValueError, match="below 1"):
        decision_curve(np.zeros(2), np.array([True, False]), [0.2, threshold])


def test_predictive_values_at_the_table_s_own_prevalence_are_the_table_s():
    score, truth = rows()
    predicted = score >= 0.4
    se, sp = predicted[truth].mean(), (~predicted)[~truth].mean()
    assert ppv_at_prevalence(se, sp, truth.mean()) == pytest.approx(precision_score(truth, predicted))
    assert npv_at_prevalence(se, sp, truth.mean()) == pytest.approx(precision_score(~truth, ~predicted))


def test_ppv_falls_with_prevalence_and_has_no_meaning_without_calls():
    assert ppv_at_prevalence(0.9, 0.8, [0.5, 0.1, 0.0]) == pytest.approx([9 / 11, 1 / 3, 0])
    assert np.isnan(ppv_at_prevalence(0.0, 1.0, 0.1))
    assert np.isnan(npv_at_prevalence(1.0, 0.0, 0.1))
    with pytest.raises(ValueError, match="between 0 and 1"):
        ppv_at_prevalence(0.9, 0.9, 5.5)


def test_expected_cost_is_the_mean_over_rows():
    score, truth = rows()
    predicted = score >= 0.4
    by_row = np.where(truth & ~predicted, 7.0, 0) + (predicted & ~truth)
    se, sp = predicted[truth].mean(), (~predicted)[~truth].mean()
    assert expected_cost(se, sp, truth.mean(), cost_ratio=7) == pytest.approx(by_row.mean())


def test_risk_is_the_error_among_the_most_confident():
    rng = np.random.default_rng(0)
    confidence = rng.permutation(100) / 100
    correct = rng.random(100) < confidence
    got = risk_coverage(confidence, correct)
    order = np.argsort(-confidence)
    risk = [(~correct[order[:k]]).mean() for k in range(1, 101)]
    assert got["risk"] == pytest.approx(risk)
    assert got["aurc"] == pytest.approx(np.mean(risk))
    assert got["coverage"][-1] == 1
    assert got["risk"][-1] == pytest.approx((~correct).mean())


def test_tied_confidences_are_taken_in_random_order():
    correct = np.array([True, False, False, True, True, False, True, True])
    got = risk_coverage(np.full(8, 0.5), correct, n_points=8)
    assert got["risk"] == pytest.approx([3 / 8] * 8)
    assert got["aurc"] == pytest.approx(3 / 8)
    rng, confidence = np.random.default_rng(0), np.array([0.5, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9, 0.9])
    shuffles = [np.cumsum(~correct[order]) for order in (np.lexsort((rng.random(8), -confidence)) for _ in range(4000))]
    expected = np.mean(shuffles, axis=0) / np.arange(1, 9)
    assert risk_coverage(confidence, correct, n_points=8)["risk"] == pytest.approx(expected, abs=0.03)


def test_a_coverage_between_rows_keeps_at_least_that_share():
    got = risk_coverage(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), n_points=2)
    assert got["risk"] == pytest.approx([1 / 2, 1 / 3])
    with pytest.raises(ValueError, match="rows"):
        risk_coverage(np.zeros(0), np.zeros(0, bool))
