"""Calibration, abstention and net benefit in the evidence: identities, and intervals that cover."""

import numpy as np
import pytest

from skinlab.evaluation.calibration.calibrators import cross_fit
from skinlab.evaluation.calibration.stated_prevalence import StatedPrevalence
from skinlab.evaluation.evidence.calibration import calibrations, decision_curve_band, risk_coverage_interval
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import Resampler
from skinlab.evaluation.thresholds.utility import decision_curve, risk_coverage

AT = {"level": 0.95, "seed": 0}


def rows(n: int = 400, seed: int = 0, images: int = 1, sharpness: float = 2.0) -> Predictions:
    """Two classes whose probabilities are too extreme by a factor of the logit."""
    rng = np.random.default_rng(seed)
    logit = np.repeat(rng.normal(-1, 1.5, n), images)
    truth = (np.repeat(rng.random(n), images) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    p = 1 / (1 + np.exp(-sharpness * logit))
    lesion = np.repeat(np.arange(n), images)
    ids, group, fold = np.arange(n * images).astype(str).astype(object), lesion.astype(str).astype(object), 0 * lesion
    return Predictions(["other", "positive"], np.stack([1 - p, p], 1), truth, ids, group, ids, fold)


def test_calibrators_have_intervals_and_paired_differences():
    view = rows()
    found = calibrations(view, Resampler(view.group, view.target), [0.5, 0.5], **AT)
    assert found["calibration"].keys() == {"none", "temperature", "vector", "isotonic", "prior"}
    own = classification_metrics(view.probabilities, view.target, view.classes)
    for name in ("brier", "log_loss"):
        none, after = (found["calibration"][method][name] for method in ("none", "temperature"))
        assert none["value"] == own[name]
        assert none["low"] < none["value"] < none["high"]
        difference = found["calibration_differences"]["temperature"][name]
        assert difference["value"] == pytest.approx(after["value"] - none["value"])
        assert difference["high"] < 0  # paired, the gain is clear though the two intervals overlap
        assert after["high"] > none["low"]


def test_the_area_under_the_risk_coverage_curve_has_an_interval():
    view = rows()
    found = risk_coverage_interval(view, Resampler(view.group, view.target), **AT)
    correct = view.probabilities.argmax(1) == view.target
    assert found["aurc"]["value"] == pytest.approx(risk_coverage(view.probabilities.max(1), correct)["aurc"])
    assert found["aurc"]["low"] < found["aurc"]["value"] < found["aurc"]["high"]
    perfect = view.with_probabilities(np.eye(2)[view.target])
    assert "note" in risk_coverage_interval(perfect, Resampler(view.group, view.target), **AT)["aurc"]


@pytest.mark.slow
def test_the_interval_of_the_area_covers():
    truth, held = risk_of(rows(200_000, 99)), []
    for seed in range(300):
        view = rows(150, seed, images=2)
        found = risk_coverage_interval(view, Resampler(view.group, view.target), **AT)["aurc"]
        held.append(found["low"] <= truth <= found["high"])
    assert 0.92 <= np.mean(held) <= 0.975


def risk_of(view: Predictions) -> float:
    return risk_coverage(view.probabilities.max(1), view.probabilities.argmax(1) == view.target)["aurc"]


def test_the_decision_curve_at_the_rows_own_prevalence_is_that_of_the_rows():
    view = rows()
    resampler, share = Resampler(view.group, view.target), float(view.target.mean())
    plain, same = (decision_curve_band(view, resampler, **AT, prevalence=each) for each in (None, share))
    assert plain["net_benefit"] == pytest.approx(same["net_benefit"], abs=2e-6)
    own = decision_curve(view.probabilities[:, 1], view.target == 1, plain["threshold"])
    assert plain["net_benefit"] == pytest.approx(own.net_benefit.tolist(), abs=1e-6)
    calibrated = cross_fit("vector", view.probabilities, view.target, view.group)[:, 1]
    after = decision_curve(calibrated, view.target == 1, plain["threshold"]).net_benefit
    assert plain["calibrated"] == pytest.approx(after.tolist(), abs=1e-6)
    assert np.mean(plain["calibrated"]) > np.mean(plain["net_benefit"])


def test_at_a_stated_prevalence_treating_all_has_its_net_benefit():
    view = rows()
    found = decision_curve_band(view, Resampler(view.group, view.target), **AT, prevalence=0.05)
    at = np.array(found["threshold"])
    assert found["treat_all"] == pytest.approx((0.05 - 0.95 * at / (1 - at)).tolist(), abs=1e-6)
    assert found["prevalence"] == 0.05


def test_at_the_rows_own_prevalence_calibration_is_that_of_the_rows():
    view = rows()
    resampler, share = Resampler(view.group, view.target), float(view.target.mean())
    stated = StatedPrevalence.of(share, view, None)
    plain, same = (calibrations(view, resampler, [0.5, 0.5], **AT, stated=each) for each in (None, stated))
    assert (plain["calibration_prevalence"], same["calibration_prevalence"]) == (None, share)
    for method, found in plain["calibration"].items():
        for name, value in found.items():
            assert same["calibration"][method][name]["value"] == pytest.approx(value["value"], abs=0.004)


def test_calibrators_are_corrected_and_judged_at_the_stated_prevalence():
    """A classifier of balanced classes, used where 5 % are positive: Bayes' rule is the best there."""
    n, rng = 4000, np.random.default_rng(0)
    target = np.arange(n) % 2
    logit = rng.normal(2.0 * target - 1)  # log-likelihood ratio 2 x
    p = 1 / (1 + np.exp(-2 * logit))
    ids = np.arange(n).astype(str).astype(object)
    view = Predictions(["nv", "mel"], np.stack([1 - p, p], 1), target, ids, ids, ids, np.zeros(n, np.int64))
    stated = StatedPrevalence.of(0.05, view, ["mel"])
    found = calibrations(view, Resampler(view.group, view.target), [0.5, 0.5], **AT, stated=stated)
    at = 1 / (1 + np.exp(-(2 * logit + np.log(0.05 / 0.95))))
    loss = -np.log(np.where(target, at, 1 - at))
    bayes = 0.05 * loss[target == 1].mean() + 0.95 * loss[target == 0].mean()
    assert found["calibration"]["prior"]["log_loss"]["value"] == pytest.approx(bayes, abs=1e-3)
    assert found["calibration"]["none"]["log_loss"]["value"] > 2 * bayes
    for method in ("prior", "temperature", "vector"):
        assert found["calibration_differences"][method]["log_loss"]["high"] < 0
        assert found["calibration"][method]["log_loss"]["value"] < 1.05 * bayes


def test_a_prevalence_needs_positives_and_others():
    view = rows(20)
    assert StatedPrevalence.of(None, view, None) is None
    assert StatedPrevalence.of(0.1, view.take(view.target == 1), None) is None
    stated = StatedPrevalence.of(0.1, view, None)
    weights = np.stack([np.ones(20), view.target == 0], axis=1)
    found = stated.weights(weights, view.target)
    assert found[view.target == 1].sum(0) == pytest.approx([0.1, 0])
    assert found[view.target == 0].sum(0) == pytest.approx([0.9, 0.9])


def test_classes_of_each_side_keep_their_shares():
    stated = StatedPrevalence(0.2, np.array([False, True, True, False]))
    shares = np.array([30.0, 5.0, 15.0, 50.0])
    after = shares / 100 * stated.factors(shares)
    assert after[1:3].sum() == pytest.approx(0.2)
    assert after[2] / after[1] == pytest.approx(3)
    assert after[3] / after[0] == pytest.approx(5 / 3)
