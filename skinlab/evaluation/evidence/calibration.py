"""The parts of a system's evidence about calibration, abstention and net benefit, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.calibration.calibrators import CALIBRATORS, cross_fit, cross_fit_prior
from skinlab.evaluation.calibration.stated_prevalence import StatedPrevalence
from skinlab.evaluation.evidence import interval_form
from skinlab.evaluation.evidence.calibration_form import CalibrationMetrics, DecisionCurve, ErrorRate, RiskCoverage
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.metrics.registry import shown_metrics
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.intervals import AT_BOUND, Interval, t_interval
from skinlab.evaluation.thresholds.utility import decision_curve, risk_coverage, weighted_aurc
from skinlab.processes.progress import part, track

Floats = npt.NDArray[np.float64]

N_DRAWS = 100  # only to count the samples without a value: intervals are the jackknife's
CURVE_CALIBRATOR = "vector"  # of two classes: logistic recalibration
NET_BENEFIT_AT = np.linspace(0.01, 0.6, 60)
COMPARED = ("brier", "log_loss")  # proper scores

KEPT = (1.0, 0.9, 0.8)  # shares of the images at which the error rate is stated


@part(14)
def calibrations(
    predictions: Predictions,
    resampler: Resampler,
    training_prior: Sequence[float] | None,
    *,
    level: float,
    seed: int,
    stated: StatedPrevalence | None = None,
) -> CalibrationMetrics:
    """Return calibration metrics before and after each method, fitted on other groups' rows, with intervals.

    ``prior`` moves the probabilities from the sampler's shares of the classes to those among other groups' rows.
    The differences of Brier score and log-loss to the uncalibrated probabilities are paired. Intervals hold for the
    calibrators as they were fitted: they don't include the variation between fits.

    At a stated prevalence all methods are corrected to it, and the images weighted to it: the metrics are those of the
    probabilities where the system will be used.
    """
    p, target, groups = predictions.probabilities, predictions.target, predictions.group
    calibrated = {method: cross_fit(method, p, target, groups, seed=seed, stated=stated) for method in CALIBRATORS}
    if training_prior is not None:
        prior = np.asarray(training_prior)
        calibrated["prior"] = cross_fit_prior(p, target, groups, prior, seed=seed, stated=stated)
    names = [metric.name for metric in shown_metrics("calibration", "all")]

    def sampled(probabilities: Floats) -> BootstrapSamples:
        scorer = Scorer(probabilities, target, predictions.classes, names=names)
        weighted = scorer if stated is None else lambda weights: scorer(stated.weights(weights, target))
        return bootstrap(weighted, resampler, n_draws=N_DRAWS, seed=seed)

    methods = track(calibrated.items(), "calibration of each method", len(calibrated))
    samples = {method: sampled(each) for method, each in methods}

    def intervals(found: BootstrapSamples, kept: Sequence[str]) -> dict[str, Interval]:
        return {name: found.interval(name, level) for name in kept}

    differences = {
        method: intervals(each.minus(samples["none"]), COMPARED) for method, each in samples.items() if method != "none"
    }
    return {
        "calibration": {method: _plain(intervals(each, names)) for method, each in samples.items()},
        "calibration_differences": {method: _plain(each) for method, each in differences.items()},
        "calibration_prevalence": None if stated is None else stated.share,
    }


def risk_coverage_interval(predictions: Predictions, resampler: Resampler, *, level: float, seed: int) -> RiskCoverage:
    """Return the error among the rows kept at each coverage, and the area under the curve with its interval."""
    confidence, correct = (
        predictions.probabilities.max(1),
        predictions.probabilities.argmax(1) == predictions.target,
    )
    curve = risk_coverage(confidence, correct)

    def statistic(weights: Floats) -> dict[str, Floats]:
        return {"aurc": weighted_aurc(confidence, correct, weights)}

    samples = bootstrap(statistic, resampler, n_draws=N_DRAWS, seed=seed)
    value = samples.estimate["aurc"]
    if reason := samples.no_interval("aurc") or (AT_BOUND if value in (0, 1) else ""):
        found = Interval.none(value, reason)
    else:
        found = Interval(value, *t_interval(value, samples.variance("aurc", heavy_tails=True), (0, 1), level))
    return {
        "coverage": curve["coverage"],
        "risk": curve["risk"],
        "aurc": found.to_dict(),
        "error_rates": error_rates(curve["coverage"], curve["risk"]),
    }


def error_rates(coverage: Sequence[float], risk: Sequence[float]) -> list[ErrorRate]:
    """Return the error rate when all, 90 % and 80 % of the images are kept, between points of the curve linearly.

    >>> error_rates([0.5, 1.0], [0.1, 0.3])[1]
    {'coverage': 0.9, 'risk': 0.26}
    """
    order = np.argsort(coverage)
    kept, error = np.asarray(coverage)[order], np.asarray(risk)[order]
    return [{"coverage": at, "risk": round(float(np.interp(at, kept, error)), 12)} for at in KEPT]


def decision_curve_band(
    view: Predictions, resampler: Resampler, *, level: float, seed: int, prevalence: float | None = None
) -> DecisionCurve:
    """Return the net benefit at each threshold, with its band by the jackknife, and that of treating all.

    Beside the probabilities as they are, it is computed of calibrated ones (vector scaling, which is logistic
    recalibration for two classes, cross-fitted by group), since miscalibration lowers the net benefit (Van Calster and
    Vickers, 2015). At a stated prevalence positives and negatives are weighted to it, and the calibrated
    probabilities are corrected to it.

    With fewer than five groups of positives or of negatives there is no band.

    Args:
        view: two classes, the last one positive.
        resampler: of the rows' groups.
        level: of the band.
        seed: of the folds.
        prevalence: share of positives; None: that of the rows.
    """
    score, truth = view.probabilities[:, 1], view.target == 1
    calibrated = calibrated_scores(view, prevalence, seed=seed)
    weights = weights_at_prevalence(np.ones((len(truth), 1)), truth, prevalence)[:, 0]
    own, after = (decision_curve(each, truth, NET_BENEFIT_AT, weights) for each in (score, calibrated))
    found: DecisionCurve = {
        "threshold": NET_BENEFIT_AT.round(6).tolist(),
        "net_benefit": own.net_benefit.round(6).tolist(),
        "treat_all": own.treat_all.round(6).tolist(),
        "calibrated": after.net_benefit.round(6).tolist(),
        "prevalence": prevalence,
    }
    if resampler.counts.of_class.min() >= MIN_GROUPS:
        names = [str(i) for i in range(len(NET_BENEFIT_AT))]

        def statistic(sampled: Floats) -> dict[str, Floats]:
            benefit = decision_curve(score, truth, NET_BENEFIT_AT, weights_at_prevalence(sampled, truth, prevalence))
            return dict(zip(names, benefit.net_benefit, strict=True))

        band = bootstrap(statistic, resampler, n_draws=0).intervals(level)
        found["low"], found["high"] = ([round(getattr(band[i], end), 6) for i in names] for end in ("low", "high"))
    return found


def calibrated_scores(view: Predictions, prevalence: float | None, *, seed: int) -> Floats:
    """Return calibrated probabilities ``(N,)`` of being positive, fitted on other groups and corrected to a prevalence.

    Args:
        view: two classes, the last one positive.
        prevalence: share of positives; None: that of the rows.
        seed: of the folds.
    """
    stated = None if prevalence is None else StatedPrevalence(prevalence, np.array([False, True]))
    arrays = view.probabilities, view.target, view.group
    return np.asarray(cross_fit(CURVE_CALIBRATOR, *arrays, seed=seed, stated=stated)[:, 1])


def weights_at_prevalence(weights: Floats, truth: npt.NDArray[np.bool_], prevalence: float | None) -> Floats:
    """Return weights ``(N, B)`` under which the share of positives is the prevalence; None leaves them."""
    if prevalence is None:
        return weights
    positives, negatives = weights[truth].sum(0), weights[~truth].sum(0)
    return np.asarray(weights * np.where(truth[:, None], prevalence / positives, (1 - prevalence) / negatives))


def _plain(found: dict[str, Interval]) -> dict[str, interval_form.Interval]:
    return {name: each.to_dict() for name, each in found.items()}
