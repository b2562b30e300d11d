"""The settings of an evaluation, from those of a command."""

from __future__ import annotations

from collections.abc import Sequence

from skinlab.errors import user_errors
from skinlab.evaluation.evidence import EvaluationSettings
from skinlab.evaluation.frozen_thresholds import FrozenThreshold
from skinlab.evaluation.thresholds import parse_rule
from skinlab.settings.evaluations import EvaluationCommandSettings
from skinlab.settings.evidence import EvidenceSettings
from skinlab.tables.thresholds import read_thresholds


def command_evaluation(settings: EvaluationCommandSettings) -> EvaluationSettings:
    """Return the settings of the evaluation of a command, with the thresholds of ``apply_thresholds=`` read.

    Raises:
        UserError: a rule is none, or the thresholds can't be read.
    """
    place = settings.apply_thresholds
    frozen = [] if place is None else read_thresholds(place, "apply_thresholds")
    return evaluation_settings(settings, cross_fit=settings.cross_fit, frozen=frozen)


def evaluation_settings(
    settings: EvidenceSettings, *, cross_fit: bool = False, frozen: Sequence[FrozenThreshold] = ()
) -> EvaluationSettings:
    """Return the settings of an evaluation.

    Args:
        settings: of ``conf/evidence``.
        cross_fit: whether thresholds are chosen on the rows that are reported, by cross-fitting.
        frozen: thresholds to be applied as they are; their positive classes count where the settings name none.

    Raises:
        UserError: a rule for thresholds is none.
    """
    with user_errors():
        for rule in settings.thresholds:
            parse_rule(rule)
    return EvaluationSettings(
        positive=settings.positive or (list(frozen[0].positive) if frozen else None),
        prevalence=settings.prevalence,
        rules=settings.thresholds,
        cost_ratio=settings.cost_ratio,
        cross_fit=cross_fit,
        calibration=settings.calibration,
        frozen=frozen,
        n_draws=settings.n_draws,
        level=settings.level,
        seed=settings.seed,
    )
