"""The precision-recall curve whose area is the average precision."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve

Floats = npt.NDArray[np.float64]


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
