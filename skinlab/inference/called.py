"""The class that an image is called, by a threshold, by a rule, or as the most probable one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.evaluation.predictions import PREFIX
from skinlab.evaluation.thresholds.decision import Decision


def likeliest(
    probabilities: npt.NDArray[np.float64],
    classes: Sequence[str],
    positive: Sequence[str],
    called: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Return the most probable class ``(N,)`` among the positive ones where an image is called so, else the others.

    Args:
        probabilities: ``(N, C)``.
        classes: C names.
        positive: some of them.
        called: ``(N,)`` whether an image is called positive.

    >>> rows = np.array([[0.5, 0.2, 0.3]] * 2)
    >>> likeliest(rows, ["nv", "mel", "bcc"], ["mel", "bcc"], np.array([True, False])).tolist()
    [2, 0]
    """
    allowed = np.isin(classes, positive) == called[:, None]
    return np.asarray(np.where(allowed, probabilities, -1.0).argmax(1))


def called_classes(table: pd.DataFrame, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the number of the class ``(N,)`` that a table of predictions calls, else the most probable one."""
    for name in ("called_class", "called"):
        if name in table:
            numbers = {each: i for i, each in enumerate(classes)}
            return table[name].map(numbers.__getitem__).to_numpy(np.int64)
    return np.asarray(table[[PREFIX + name for name in classes]].to_numpy().argmax(1))


def rule_called_by(threshold: Mapping[str, Any] | None, decision: Decision | None) -> str:
    """Return in words by what a class is called; "" where it is the most probable one.

    >>> rule_called_by({"rule": "sensitivity>=0.95", "value": 0.028, "positive": ["mel"]}, None)
    'sensitivity>=0.95: mel from 0.028 on'
    >>> rule_called_by({"value": 0.5, "positive": ["mel"]}, None), rule_called_by(None, None)
    ('threshold: mel from 0.5 on', '')
    """
    if threshold is not None:
        positive = " or ".join(threshold["positive"])
        return f"{threshold.get('rule') or 'threshold'}: {positive} from {threshold['value']:.2g} on"
    return decision.rule if decision is not None and decision.rule != "argmax" else ""
