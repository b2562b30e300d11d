"""What a bundle has learned: its method's weights, ranks or thresholds, and its calibrator, as read from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skinlab.errors import UserError
from skinlab.evaluation.calibration.at_prevalence import CalibratorAtPrevalence, stored_calibrator
from skinlab.evaluation.calibration.calibrators import Calibrator
from skinlab.evaluation.ensembles.combination import COMBINATIONS


def read_learned(content: Mapping[str, Any], method: str, n_teams: int, n_classes: int) -> dict[str, Any]:
    """Return what a method of combination has learned, once it fits the teams and classes.

    Args:
        content: name → numbers, of a file.
        method: one of ``COMBINATIONS``.
        n_teams: that are combined.
        n_classes: of each.

    Raises:
        ValueError: it does not fit.
        UserError: weights are none.
    """
    name = COMBINATIONS[method].learns
    if set(content) != {name} - {None}:
        raise ValueError(f"method {method} with {', '.join(content) or 'nothing'} learned")
    if name is None:
        return {}
    if name == "weights":
        return {name: shares(content[name], n_teams)}
    values = np.asarray(content[name], np.float64)
    wanted = (n_teams, *values.shape[1:2], n_classes) if name == "reference" else (n_teams,)
    if values.shape != wanted or not values.size or not np.isfinite(values).all():
        raise ValueError(f"its {name} are of shape {values.shape} or no numbers")
    return {name: values}


def shares(weights: Sequence[float], n: int) -> list[float]:
    """Return the weights of ``n`` members scaled to sum to one.

    Raises:
        UserError: not as many, negative, no numbers, or all of them 0.

    >>> shares([3, 1], 2)
    [0.75, 0.25]
    """
    values = np.asarray(weights, np.float64)
    if values.shape != (n,) or not np.isfinite(values).all() or (values < 0).any() or not values.sum() > 0:
        raise UserError(f"weights={list(weights)}: {n} numbers from 0 on are expected, one a model, not all of them 0")
    return [float(share) for share in values / values.sum()]


def read_calibrator(content: Mapping[str, Any], n_classes: int) -> Calibrator | CalibratorAtPrevalence:
    """Return the calibrator of a file or a bundle, once it is known to fit the number of classes.

    Raises:
        UserError: it is none, or one of other classes.
    """
    try:
        calibrator = stored_calibrator(content)
        tried = calibrator(np.full((1, n_classes), 1 / n_classes))
        if tried.shape != (1, n_classes) or not np.isfinite(tried).all():
            raise ValueError("it gives no probabilities")
    except (ValueError, TypeError, LookupError) as error:
        raise UserError(f"the calibrator is none for these {n_classes} classes: {error}") from None
    return calibrator
