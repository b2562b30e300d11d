"""ROC and precision-recall curves with pointwise bootstrap bands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from skinlab.evaluation import evidence_form
from skinlab.evaluation.bootstrap import BLOCK, LEVEL, Resampler
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.ranking import Curve, Ranking

Floats = npt.NDArray[np.float64]

GRID = np.linspace(0, 1, 101)
N_DRAWS = 200


def class_curves(
    predictions: Predictions, resampler: Resampler, *, level: float = LEVEL, seed: int = 0
) -> dict[str, evidence_form.ClassCurves]:
    """Return class → ``roc`` and ``pr`` → ``x``, ``y``, ``low``, ``high``, for classes with positives and negatives.

    The bands hold at each x by itself (vertical averaging; Fawcett, 2006), not for the curve as a whole.

    Args:
        predictions: N rows.
        resampler: of these rows.
        level: coverage of the bands.
        seed: of the bootstrap samples.
    """
    tails = [(1 - level) / 2, (1 + level) / 2]
    found: dict[str, evidence_form.ClassCurves] = {}
    for i, name in enumerate(predictions.classes):
        truth = predictions.target == i
        if not truth.any() or truth.all():
            continue
        ranking = Ranking(predictions.probabilities[:, i], truth)
        own = ranking.curve(np.ones((len(predictions), 1)))
        sampled = [ranking.curve(resampler.block(seed, start, BLOCK)) for start in range(0, N_DRAWS, BLOCK)]
        roc, pr = (_with_band(points, own, sampled, tails) for points in (_roc, _precision_recall))
        found[name] = {"roc": roc, "pr": pr}
    return found


def _with_band(
    points: Callable[[Curve], Floats], own: Curve, sampled: Sequence[Curve], tails: Sequence[float]
) -> evidence_form.Curve:
    low, high = np.quantile(np.concatenate([points(curve) for curve in sampled]), tails, axis=0)
    x, y, low, high = (values.round(5).tolist() for values in (GRID, points(own)[0], low, high))
    return {"x": x, "y": y, "low": low, "high": high}


def _roc(curve: Curve) -> Floats:
    """Return sensitivity ``(B, 101)`` at each false-positive rate."""
    rows = []
    for b in range(curve.tp.shape[1]):
        x = np.ravel(np.column_stack([curve.fp_before[:, b], curve.fp[:, b]])) / curve.n_neg[b]
        y = np.ravel(np.column_stack([curve.tp[:, b] - curve.gained[:, b], curve.tp[:, b]])) / curve.n_pos[b]
        rows.append(np.interp(GRID, np.r_[0, x, 1], np.r_[0, y, 1]))
    return np.array(rows)


def _precision_recall(curve: Curve) -> Floats:
    """Return precision ``(B, 101)`` at the first threshold that reaches each recall."""
    rows = []
    for b in range(curve.tp.shape[1]):
        found = curve.gained[:, b] > 0
        tp, fp = curve.tp[found, b], curve.fp[found, b]
        at = np.minimum(np.searchsorted(tp, GRID * curve.n_pos[b] - 1e-9), len(tp) - 1)
        rows.append((tp / (tp + fp))[at])
    return np.array(rows)
