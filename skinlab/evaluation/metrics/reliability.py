"""The points of a reliability diagram, and Wilson's interval of a share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from skinlab.evaluation.evidence.form import Reliability

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def wilson_interval(rate: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the two ends of the interval of a share ``rate`` among ``n`` rows (Wilson, 1927).

    >>> [round(float(end), 3) for end in wilson_interval(0.5, 10)]
    [0.237, 0.763]
    """
    p, rows, z = np.asarray(rate, float), np.asarray(n, float), float(norm.ppf((1 + level) / 2))
    half = z * np.sqrt(p * (1 - p) * rows + z**2 / 4) / (rows + z**2)
    center = (p * rows + z**2 / 2) / (rows + z**2)
    return np.clip(center - half, 0, 1), np.clip(center + half, 0, 1)


def reliability(
    confidence: Floats, correct: Bools, groups: npt.NDArray[Any] | None = None, n_bins: int = 15, level: float = 0.95
) -> Reliability:
    """Return the points of a reliability diagram over bins of equal mass, with Wilson's intervals.

    Equal confidences stay together, so that heavy ties leave fewer bins. With groups, an interval counts each bin's
    rows as ``(sum m)^2 / sum m^2`` for ``m`` rows a group (Kish, 1965): rows of one lesion are not independent.

    Args:
        confidence: ``(N,)`` probability of the predicted class.
        correct: ``(N,)`` whether the prediction is right.
        groups: ``(N,)`` lesion or patient of each row.
        n_bins: number of bins at most.
        level: of the intervals.

    Returns:
        ``confidence`` and ``accuracy`` (means), ``low``, ``high`` and ``rows`` of each bin, by rising confidence.

    >>> reliability(np.array([0.6, 0.6, 0.9, 0.9]), np.array([True, False, True, True]), n_bins=2)["accuracy"]
    [0.5, 1.0]
    """
    place = (rankdata(confidence) - 0.5) / len(confidence) * n_bins
    _, index = np.unique(np.minimum(place.astype(int), n_bins - 1), return_inverse=True)
    rows = np.bincount(index)
    accuracy, mean = np.bincount(index, weights=correct) / rows, np.bincount(index, weights=confidence) / rows
    effective = rows.astype(float)
    if groups is not None:
        group = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
        pairs, together = np.unique(np.stack([index, group]), axis=1, return_counts=True)
        effective = rows**2 / np.bincount(pairs[0], weights=together.astype(float) ** 2)
    low, high = wilson_interval(accuracy, effective, level)
    return {
        "confidence": mean.tolist(),
        "accuracy": accuracy.tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "rows": rows.tolist(),
    }
