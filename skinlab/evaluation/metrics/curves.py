"""ROC and precision-recall curves with pointwise bootstrap bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve

from skinlab.evaluation.evidence import form as evidence_form
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.metrics.ranking import Curve, Ranking
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import LEVEL, Resampler
from skinlab.evaluation.statistics.intervals import ShareSize, share_interval
from skinlab.processes.progress import track

Floats = npt.NDArray[np.float64]

GRID = np.linspace(0, 1, 101)
N_DRAWS = 200


def class_curves(
    predictions: Predictions, resampler: Resampler, *, level: float = LEVEL, seed: int = 0
) -> dict[str, evidence_form.ClassCurves]:
    """Return class → ``roc`` and ``pr`` → ``x``, ``y``, ``low``, ``high``, for classes with positives and negatives.

    The bands hold at each x by itself (vertical averaging; Fawcett, 2006), not for the curve as a whole: they are
    Wilson's, with the effective number of images by the bootstrap's variance. A class of fewer than five groups, or
    with fewer outside it, has none.

    Args:
        predictions: N rows.
        resampler: of these rows.
        level: coverage of the bands.
        seed: of the bootstrap samples.
    """
    found: dict[str, evidence_form.ClassCurves] = {}
    for i, name in track(enumerate(predictions.classes), "curves of each class", len(predictions.classes)):
        truth = predictions.target == i
        if not truth.any() or truth.all():
            continue
        ranking = Ranking(predictions.probabilities[:, i], truth)
        own = ranking.curve(np.ones((len(predictions), 1)))
        enough = min(resampler.counts.of_class[i], resampler.counts.of_rest[i]) >= MIN_GROUPS
        blocks = resampler.weights(N_DRAWS, seed) if enough else []
        sampled = [ranking.curve(weights) for weights in blocks]
        size = replace(ShareSize.of(resampler.group[truth]), rows=float(len(truth)))
        roc, pr = _roc(own)[0], _precision_recall(own)[0]
        found[name] = {
            "roc": _with_band(roc, [_roc(curve) for curve in sampled], size, np.ones_like(GRID), level),
            "pr": _with_band(pr, [_precision_recall(curve) for curve in sampled], size, GRID, level),
        }
    return found


def _with_band(
    y: Floats, sampled: Sequence[Floats], size: ShareSize, found: Floats, level: float
) -> evidence_form.Curve:
    """Return a curve ``(101,)`` with its band from sampled curves ``(B, 101)``.

    Each point is a share of at least that part `found` of the positive images; percentiles would leave a point at 1
    without any band, and cover half of what they promise along the upper part of a ROC curve.
    """
    curve: evidence_form.Curve = {"x": GRID.round(5).tolist(), "y": y.round(5).tolist()}
    if sampled:
        variance = np.concatenate(sampled).var(0, ddof=1)
        sizes = [replace(size, effective=max(size.effective * part, 1.0)) for part in found]
        points = zip(y.clip(0, 1), sizes, variance, strict=True)
        ends = np.array([share_interval(float(at), n, float(v), level) for at, n, v in points])
        curve["low"], curve["high"] = ends.T.round(5).tolist()
    return curve


def _roc(curve: Curve) -> Floats:
    """Return sensitivity ``(B, 101)`` at each false-positive rate."""
    rows = []
    for b in np.flatnonzero((curve.n_pos > 0) & (curve.n_neg > 0)):
        x = np.ravel(np.column_stack([curve.fp_before[:, b], curve.fp[:, b]])) / curve.n_neg[b]
        y = np.ravel(np.column_stack([curve.tp[:, b] - curve.gained[:, b], curve.tp[:, b]])) / curve.n_pos[b]
        rows.append(np.interp(GRID, np.r_[0, x, 1], np.r_[0, y, 1]))
    return np.array(rows)


def _precision_recall(curve: Curve) -> Floats:
    """Return precision ``(B, 101)`` at the first threshold that reaches each recall."""
    rows = []
    for b in np.flatnonzero((curve.n_pos > 0) & (curve.n_neg > 0)):
        found = curve.gained[:, b] > 0
        tp, fp = curve.tp[found, b], curve.fp[found, b]
        at = np.minimum(np.searchsorted(tp, GRID * curve.n_pos[b] - 1e-9), len(tp) - 1)
        rows.append((tp / (tp + fp))[at])
    return np.array(rows)


def precision_recall_steps(truth: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Return the step curve whose area is the average precision.

    Args:
        truth: ``(N,)`` which rows are positive; at least one.
        scores: ``(N,)``, higher for the positive.

    Returns:
        Recall ``(K,)``, rising from above 0 to 1, and precision ``(K,)``, which holds between the recall before and its
        own.

    >>> recall, precision = precision_recall_steps(np.array([True, False, True]), np.array([0.9, 0.5, 0.1]))
    >>> recall.tolist(), precision.round(2).tolist()
    ([0.5, 1.0], [1.0, 0.67])
    """
    precision, recall, _ = precision_recall_curve(truth, scores)
    levels, first = np.unique(recall[::-1], return_index=True)  # the first to reach a recall has the best precision
    return levels[1:], precision[::-1][first][1:]
