"""Parts of a system's evidence, each a plain block made from the predictions alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.calibration.calibrators import CALIBRATORS, cross_fit, cross_fit_prior
from skinlab.evaluation.evidence.form import DecisionCurve, Mistake, RowCounts, Spread, SpreadOfMetric
from skinlab.evaluation.metrics.registry import shown_metrics
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import Resampler
from skinlab.evaluation.thresholds.utility import decision_curve

FEW_ROWS = 30  # of a class, below which its metrics are rough
WORST = 12
NET_BENEFIT_AT = np.linspace(0.01, 0.6, 60)
BAND_DRAWS = 200


def row_counts(predictions: Predictions, resampler: Resampler, *, pooled: bool) -> RowCounts:
    """Return how many images and groups there are, in all and of each class."""
    support = np.bincount(predictions.target, minlength=len(predictions.classes))
    return {
        "rows": len(predictions),
        "groups": resampler.counts.total,
        "support": dict(zip(predictions.classes, support.tolist(), strict=True)),
        "groups_per_class": resampler.counts.by_name(),
        "pooled_folds": sorted({int(fold) for fold in predictions.fold}) if pooled else None,
    }


def spread(
    tables: Sequence[Predictions], replicate_axis: str | None, replicate_ids: Sequence[int], *, pooled: bool
) -> Spread | None:
    """Return mean and standard deviation over seeds, or over folds."""
    if replicate_axis is None and pooled:
        replicate_axis, first = "fold", tables[0]
        replicate_ids = sorted({int(fold) for fold in first.fold})
        tables = [first.take(first.fold == fold) for fold in replicate_ids]
    if replicate_axis is None:
        return None
    each = [classification_metrics(table.probabilities, table.target, table.classes) for table in tables]
    metrics: dict[str, SpreadOfMetric] = {}
    for name in (name for name in each[0] if not name.startswith("support/")):
        values = np.array([metrics_of_one[name] for metrics_of_one in each])
        by_key: dict[str, float | None] = dict(zip(map(str, replicate_ids), values.tolist(), strict=True))
        metrics[name] = {"mean": float(values.mean()), "sd": float(values.std(ddof=1)), "values": by_key}
    return {"replicate_axis": replicate_axis, "n": len(tables), "metrics": metrics}


def calibrations(
    predictions: Predictions, seed: int, training_prior: Sequence[float] | None
) -> dict[str, dict[str, float]]:
    """Return calibration metrics before and after each method, fitted on other groups' rows.

    ``prior`` moves the probabilities from the sampler's shares of the classes to those among other groups' rows.
    """
    p, target, groups = predictions.probabilities, predictions.target, predictions.group
    calibrated = {method: cross_fit(method, p, target, groups, seed=seed) for method in CALIBRATORS}
    if training_prior is not None:
        calibrated["prior"] = cross_fit_prior(p, target, groups, np.asarray(training_prior), seed=seed)
    names = [metric.name for metric in shown_metrics("calibration", "all")]
    return {
        method: classification_metrics(probabilities, target, predictions.classes, names=names)
        for method, probabilities in calibrated.items()
    }


def decision_curve_band(
    score: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], resampler: Resampler, *, level: float, seed: int
) -> DecisionCurve:
    """Return the net benefit at each threshold, with its percentile band, and that of treating all.

    Args:
        score: of each row, ``(N,)``.
        truth: whether it is positive, ``(N,)``.
        resampler: of the rows' groups.
        level: of the band.
        seed: of the bootstrap samples.
    """
    own = decision_curve(score, truth, NET_BENEFIT_AT)
    blocks = resampler.weights(BAND_DRAWS, seed)
    samples = np.concatenate(
        [decision_curve(score, truth, NET_BENEFIT_AT, weights).net_benefit for weights in blocks], axis=1
    )
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=1)
    values = (NET_BENEFIT_AT, own.net_benefit, low, high, own.treat_all)
    threshold, net_benefit, low, high, treat_all = (each.round(6).tolist() for each in values)
    return {"threshold": threshold, "net_benefit": net_benefit, "low": low, "high": high, "treat_all": treat_all}


def worst_mistakes(predictions: Predictions, n: int = WORST) -> list[Mistake]:
    """Return the wrong predictions of highest confidence."""
    predicted, confidence = predictions.probabilities.argmax(1), predictions.probabilities.max(1)
    wrong = np.flatnonzero(predicted != predictions.target)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:n]
    return [
        {
            "image_id": str(predictions.image_id[i]),
            "label": predictions.classes[predictions.target[i]],
            "predicted": predictions.classes[predicted[i]],
            "probability": round(float(confidence[i]), 4),
            "path": str(predictions.path[i]) or None,
        }
        for i in chosen
    ]


def row_cautions(predictions: Predictions) -> list[str]:
    """Return the limits of what these images show, a sentence each."""
    found = []
    if len(np.unique(predictions.group.astype(str))) == len(predictions):
        found.append(
            "No two images share a group. If one lesion or patient has several images, the intervals are too narrow."
        )
    support = np.bincount(predictions.target, minlength=len(predictions.classes))
    absent = [name for name, n in zip(predictions.classes, support, strict=True) if n == 0]
    if absent:
        found.append(f"No images of {', '.join(absent)}: macro averages leave them out.")
    rare = [f"{name} ({n})" for name, n in zip(predictions.classes, support, strict=True) if 0 < n < FEW_ROWS]
    if rare:
        found.append(f"Few images of {', '.join(rare)}: their metrics are rough, whatever the interval says.")
    return found
