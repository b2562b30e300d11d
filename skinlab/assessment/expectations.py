"""Add to the evidence of systems what their metrics will be on a test set to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skinlab.assessment.alignment import align
from skinlab.assessment.systems import System
from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.evidence.expectation import expectation
from skinlab.evaluation.evidence.form import Evidence
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.evaluation.statistics.expectation import NewSet
from skinlab.evaluation.thresholds.frozen import FrozenThreshold


def add_expectations(
    evidence: Evidence,
    systems: Sequence[System],
    thresholds: Mapping[str, Sequence[FrozenThreshold]],
    settings: EvaluationSettings,
    new: NewSet,
) -> None:
    """Add ``expectation`` to each system of the evidence.

    Args:
        evidence: of the systems.
        systems: in the order of the evidence.
        thresholds: of each system, by its name.
        settings: of the evaluation.
        new: the test set to come.

    Raises:
        ValueError: there are no positive classes.
    """
    for block, system in zip(evidence["systems"], systems, strict=True):
        (one,) = align([system], settings.positive)
        block["expectation"] = expectation(
            settings.binary_view(mean_predictions(one.tables)),
            thresholds.get(system.name, []),
            new,
            cross_fitted=any(row["applied_to"].startswith("cross-fitted") for row in block["thresholds"] or []),
            n_draws=settings.n_draws,
            level=settings.level,
            seed=settings.seed,
        )
