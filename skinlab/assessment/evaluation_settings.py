"""The settings of an evaluation, from those of a command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from skinlab.assessment.evidence_files import describe_provenance, evidence_folder
from skinlab.errors import UserError, nearest, user_errors
from skinlab.evaluation.evidence.form import Provenance
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.evaluation.metrics.registry import METRICS, direction, find_metric
from skinlab.evaluation.statistics.comparison import Endpoint
from skinlab.evaluation.statistics.hypotheses import Hypothesis
from skinlab.evaluation.thresholds.choice import is_fixed, parse_rule
from skinlab.evaluation.thresholds.decision import parse_decision
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.settings.command import EvaluationCommandSettings, EvidenceSettings, Invocation, TableSettings
from skinlab.settings.commands.tta import TtaSettings
from skinlab.tables.decision import read_decision
from skinlab.tables.names import Names
from skinlab.tables.predictions import TableReader
from skinlab.tables.thresholds import read_thresholds


def open_evaluation(
    settings: EvaluationCommandSettings, invocation: Invocation
) -> tuple[Path, EvaluationSettings, Provenance]:
    """Return the output folder, the settings of the evaluation and the provenance of a command that writes evidence.

    Raises:
        UserError: the folder holds evidence already, a rule is none, two are given for the called class, or the
            thresholds can't be read.
    """
    output = evidence_folder(settings.output, invocation.command, overwrite=settings.overwrite)
    place = settings.apply_thresholds
    frozen = [] if place is None else read_thresholds(place, "apply_thresholds")
    for name in settings.compare_by or ():
        check_direction("compare_by", name)
    evaluation = evaluation_settings(settings, cross_fit=settings.cross_fit, frozen=frozen)
    evaluation = replace(evaluation, **_compared(settings))
    if settings.apply_decision is not None:
        if settings.decide != "argmax":
            raise UserError(
                f"decide={settings.decide} chooses a rule, and apply_decision={settings.apply_decision} applies one as "
                "it is: leave one out"
            )
        evaluation = replace(evaluation, decision=read_decision(settings.apply_decision, "apply_decision"))
    return output, evaluation, describe_provenance(invocation.command, settings.dump())


def _compared(settings: EvaluationCommandSettings) -> dict[str, Any]:
    """Return by what systems are compared: by default also by rates, where no images of theirs chose the first rule."""
    if settings.compare_by is not None:
        return {"compare_by": settings.compare_by}
    beforehand = settings.apply_thresholds is not None or any(map(is_fixed, settings.thresholds[:1]))
    return {"compare_rates": beforehand}


def table_reader(settings: TableSettings, *, common: bool | None = None) -> TableReader:
    """Return the reader of tables of predictions with a command's settings.

    Args:
        settings: of the command.
        common: whether images that not every system has are left out; None where that can't be set.
    """
    metadata = settings.metadata if isinstance(settings, EvidenceSettings) else None
    how = settings.columns, settings.label_map, settings.labels, settings.on_label_conflict
    return TableReader(*how, metadata, common=common, missing=settings.missing)


def evaluation_settings(
    settings: EvidenceSettings, *, cross_fit: bool = False, frozen: Sequence[FrozenThreshold] = ()
) -> EvaluationSettings:
    """Return the settings of an evaluation.

    Args:
        settings: of ``conf/evidence``.
        cross_fit: whether thresholds are chosen on the rows that are reported, by cross-fitting.
        frozen: thresholds to be applied as they are; their positive classes count where the settings name none.

    Raises:
        UserError: a rule for thresholds is none, or nothing can be claimed by the endpoint.
    """
    with user_errors():
        for rule in settings.thresholds:
            parse_rule(rule)
        parse_decision(settings.decide)
    endpoint = None
    if settings.endpoint is not None:
        known = [metric.name for metric in METRICS]
        if find_metric(settings.endpoint) is None:
            raise UserError(f"endpoint={settings.endpoint} is no metric{nearest(settings.endpoint, known)}")
        check_direction("endpoint", settings.endpoint)
        endpoint = Endpoint(settings.endpoint, Hypothesis(settings.hypothesis, settings.margin or 0.0))
    return EvaluationSettings(
        positive=settings.positive or (list(frozen[0].positive) if frozen else None),
        prevalence=settings.prevalence,
        rules=settings.thresholds,
        cost_ratio=settings.cost_ratio,
        cross_fit=cross_fit,
        calibration=settings.calibration,
        frozen=frozen,
        decide=settings.decide,
        decide_by=settings.decide_by,
        metadata=settings.metadata,
        labels=settings.labels if isinstance(settings, TableSettings) else None,
        columns=column_names(settings),
        subgroups=settings.subgroups,
        age_bands=settings.age_bands,
        units=settings.units,
        n_draws=settings.n_draws,
        level=settings.level,
        seed=settings.seed,
        endpoint=endpoint,
        net_benefit_at=settings.net_benefit_at,
    )


def column_names(settings: EvidenceSettings) -> dict[str, Names]:
    """Return the names of columns that a command's tables have, except those of probabilities."""
    if not isinstance(settings, TableSettings | TtaSettings):
        return {}
    return {ours: theirs for ours, theirs in settings.columns.items() if not isinstance(theirs, dict)}


def check_direction(setting: str, metric: str) -> None:
    """Refuse a metric of which neither larger nor smaller values are better.

    Args:
        setting: that names it.
        metric: its name.

    Raises:
        UserError: it is such a metric.
    """
    if direction(metric) is None:
        raise UserError(f"{setting}: {metric} has no better direction, so that systems can't be judged by it")
