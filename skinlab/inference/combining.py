"""Combine and calibrate the members' probabilities as a bundle says."""

from __future__ import annotations

import numpy as np

from skinlab.evaluation.ensembles import combine
from skinlab.evaluation.thresholds import positive_score
from skinlab.inference.bundle import Bundle, read_calibrator


def combine_members(bundle: Bundle, members: np.ndarray) -> np.ndarray:
    """Combine members' probabilities ``(M, N, C)`` as the bundle says: within each team, the teams, then calibrate.

    Returns:
        ``(N, C)``, a column a name of ``bundle.outputs``; one member's stay as they are, to the bit.
    """
    teams = np.stack([members[team].mean(0) for team in bundle.lineup])
    if bundle.positive:
        share = positive_score(teams, bundle.classes, bundle.positive)
        teams = np.stack([1 - share, share], axis=-1)
    combined = combine(teams, bundle.method, **bundle.learned)
    return combined if bundle.calibrator is None else read_calibrator(bundle.calibrator, len(bundle.classes))(combined)
