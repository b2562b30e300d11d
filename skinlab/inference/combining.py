"""Combine and calibrate the members' probabilities as a bundle says."""

from __future__ import annotations

from typing import Any

import numpy as np

from skinlab.errors import UserError
from skinlab.evaluation.calibration import Calibrator, calibrator_from_dict
from skinlab.evaluation.ensembles import combine
from skinlab.evaluation.thresholds import positive_score
from skinlab.inference.bundle import Bundle


def combine_as(bundle: Bundle, members: np.ndarray) -> np.ndarray:
    """Combine members' probabilities ``(M, N, C)`` as the bundle says: those of each team, then the teams'.

    Returns:
        ``(N, C)``, a column a name of ``bundle.outputs``; one member's stay as they are, to the bit.
    """
    teams = np.stack([members[team].mean(0) for team in bundle.lineup])
    if bundle.positive:
        share = positive_score(teams, bundle.classes, bundle.positive)
        teams = np.stack([1 - share, share], axis=-1)
    return combine(teams, bundle.method, **bundle.learned)


def check_calibrator(content: dict[str, Any], bundle: Bundle) -> Calibrator:
    """Rebuild a calibrator and try it on the bundle's number of classes.

    Raises:
        UserError: it is none, or one of other classes.
    """
    try:
        calibrator = calibrator_from_dict(content)
        tried = calibrator(np.full((1, len(bundle.classes)), 1 / len(bundle.classes)))
        if tried.shape != (1, len(bundle.classes)) or not np.isfinite(tried).all():
            raise ValueError("it gives no probabilities")
    except (ValueError, TypeError, IndexError) as error:
        raise UserError(f"the calibrator is none for these {len(bundle.classes)} classes: {error}") from None
    return calibrator
