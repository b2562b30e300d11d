"""All evidence of one system from its predictions, in the form of ``evidence.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from skinlab.evaluation.calibration.conformal import conformal_report
from skinlab.evaluation.calibration.smooth import calibration_curve
from skinlab.evaluation.calibration.stated_prevalence import StatedPrevalence
from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.evidence.calibration import calibrations, decision_curve_band, risk_coverage_interval
from skinlab.evaluation.evidence.calibration_form import CalibrationMetrics, Conformal
from skinlab.evaluation.evidence.decision import decision_evidence
from skinlab.evaluation.evidence.decision_form import DecisionEvidence
from skinlab.evaluation.evidence.fold_means import fold_means
from skinlab.evaluation.evidence.form import ClassCurves, PositiveMetrics, SystemMetrics, ThresholdRow
from skinlab.evaluation.evidence.interval_form import Interval, Metrics
from skinlab.evaluation.evidence.parts import row_counts, spread, worst_mistakes
from skinlab.evaluation.evidence.population_form import Population
from skinlab.evaluation.evidence.rules import Rules, decision_point, evaluate_rules
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.evaluation.evidence.subgroups import evaluate_subgroups, subgroup_columns
from skinlab.evaluation.evidence.units import evaluate_units, group_unit
from skinlab.evaluation.evidence.views import at_prevalence, operating_rule
from skinlab.evaluation.metrics.curves import class_curves
from skinlab.evaluation.metrics.reliability import reliability
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.trainings import SINGLE, Replicates, Trainings
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.processes.progress import part, track
from skinlab.text import quantity

FORMAT: Literal[2] = 2


@dataclass(frozen=True)
class SystemEvidence:
    """The evidence of one system, with the trainings and rules that comparisons need and the thresholds to freeze."""

    block: SystemMetrics
    trainings: Trainings
    rules: Rules
    thresholds: list[FrozenThreshold] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)


def system_evidence(
    name: str,
    tables: Sequence[Predictions],
    settings: EvaluationSettings,
    *,
    selection: Predictions | None = None,
    replicates: Replicates = SINGLE,
    pooled: bool = False,
    names: tuple[str, str] = ("these images", "other images"),
    training_prior: Sequence[float] | None = None,
    metadata: pd.DataFrame | None = None,
) -> SystemEvidence:
    """Compute the evidence of one system.

    Metrics of several tables (seeds, or the folds' models on a test they share) are the mean over the tables; curves
    are of the first, rules (thresholds, called class) of the mean of the probabilities, which is used later.

    Args:
        name: of the system.
        tables: predictions of the same rows in the same order.
        settings: of the evaluation.
        selection: other rows, with the mean of the tables' probabilities, to choose rules on.
        replicates: in what the tables differ.
        pooled: whether the rows are validation folds put together.
        names: of the rows and of the selection, in messages.
        training_prior: shares of the classes that the probabilities are made for; not used where one is zero.
        metadata: what is known of each row beside the predictions, as text, for the subgroups.

    Raises:
        ValueError: the rows allow no evaluation, and why.
    """
    first, joint, names = tables[0], mean_predictions(tables), _names(names, tables, replicates)
    _check(first, name)
    resampler = Resampler(first.group, first.target, first.classes)
    trainings = part(35)(_bootstrap)(tables, replicates, resampler, settings)
    correct = first.probabilities.argmax(1) == first.target
    prior = training_prior if training_prior is not None and min(training_prior) > 0 else None
    positive, thresholds, cautions = _positive_blocks(tables, selection, settings, replicates, pooled, names)
    samples = trainings.mean()
    decision, notes = _decision(joint, selection, settings, prior, pooled=pooled, names=names)
    rules = system_rules(joint, positive["thresholds"], thresholds, decision, settings, prior)
    means, more = fold_means(tables, samples, rules.decisions(joint), level=settings.level) if pooled else (None, [])
    block: SystemMetrics = {
        "name": name,
        **row_counts(first, resampler, rules.called(joint), pooled=pooled),
        "confusion_point": decision_point(decision),
        **_population(tables, metadata, settings, rules, replicates.overlap),
        "metrics": _intervals(samples, settings.level),
        "fold_means": means,
        "spread": spread(tables, replicates.axis, replicates.ids, rules, pooled=pooled),
        "curves": _curves(first, resampler, settings),
        "reliability": reliability(first.probabilities.max(1), correct, first.group, level=settings.level),
        **_calibrations(first, resampler, prior, settings),
        "risk_coverage": risk_coverage_interval(first, resampler, level=settings.level, seed=settings.seed),
        "conformal": _conformal(first, settings),
        "decision": decision,
        "worst_mistakes": worst_mistakes(first, missed=rules.missed(first)),
        **positive,
    }
    return SystemEvidence(block, trainings, rules, thresholds, [f"{name}: {text}" for text in more + cautions + notes])


def system_rules(
    rows: Predictions,
    table: Sequence[ThresholdRow] | None,
    thresholds: Sequence[FrozenThreshold],
    decision: DecisionEvidence | None,
    settings: EvaluationSettings,
    prior: Sequence[float] | None,
) -> Rules:
    """Return the rules that a system decides by.

    Args:
        rows: the mean of its tables.
        table: of its threshold rules, the first of which is the headline's; None where it has none.
        thresholds: of the same rules.
        decision: the rule for the called class; None for the most probable class.
        settings: of the evaluation.
        prior: shares of the classes that its probabilities are made for.
    """
    at = operating_rule(settings.binary_view(rows), table, thresholds, settings.prevalence, settings.seed)
    return Rules(settings.binary_view, at, decision, settings.decision_settings(rows.classes, prior))


def _names(names: tuple[str, str], tables: Sequence[Predictions], replicates: Replicates) -> tuple[str, str]:
    """Return the names of the rows and of the selection, of several tables with what they are the mean of."""
    if len(tables) == 1:
        return names
    return f"{names[0]}, mean of {len(tables)} {replicates.axis or 'table'}s", names[1]


def _conformal(first: Predictions, settings: EvaluationSettings) -> Conformal:
    """Return the coverage of cross-fitted conformal sets."""
    arrays = first.probabilities, first.target, first.group
    return conformal_report(*arrays, first.classes, seed=settings.seed, interval_level=settings.level)


def _population(
    tables: Sequence[Predictions],
    metadata: pd.DataFrame | None,
    settings: EvaluationSettings,
    rules: Rules,
    overlap: float,
) -> Population:
    """Return what the groups are, and the metrics of the subgroups, by lesion and by patient."""
    columns = subgroup_columns(tables[0], metadata, settings.subgroups, settings.age_bands)
    views = [view for table in tables if (view := settings.binary_view(table)) is not None]
    how: dict[str, Any] = {"rules": rules, "level": settings.level, "seed": settings.seed, "overlap": overlap}
    return {
        "group_unit": group_unit(tables[0].group, metadata),
        "subgroups": evaluate_subgroups(tables, views, columns, **how),
        "units": evaluate_units(tables, views, metadata, settings.units, **how),
    }


def _calibrations(
    predictions: Predictions, resampler: Resampler, prior: Sequence[float] | None, settings: EvaluationSettings
) -> CalibrationMetrics:
    """Return the metrics of the calibrators, where the settings ask for them."""
    if not settings.calibration:
        return {"calibration": None, "calibration_differences": None}
    stated = StatedPrevalence.of(settings.prevalence, predictions, settings.positive)
    return calibrations(predictions, resampler, prior, level=settings.level, seed=settings.seed, stated=stated)


def _decision(
    rows: Predictions,
    selection: Predictions | None,
    settings: EvaluationSettings,
    prior: Sequence[float] | None,
    *,
    pooled: bool,
    names: tuple[str, str],
) -> tuple[DecisionEvidence | None, list[str]]:
    """Return the evidence of the rule for the called class, and a caution where none could be chosen."""
    return decision_evidence(
        rows,
        selection,
        settings.decision_settings(rows.classes, prior),
        frozen=settings.decision,
        cross_fit=pooled or settings.cross_fit,
        names=names,
        n_draws=settings.n_draws,
        level=settings.level,
    )


@part(6)
def _curves(predictions: Predictions, resampler: Resampler, settings: EvaluationSettings) -> dict[str, ClassCurves]:
    """Return the curves of every class, and of the positives together where the settings name them."""
    how: dict[str, Any] = {"level": settings.level, "seed": settings.seed}
    curves = class_curves(predictions, resampler, **how)
    view = predictions.binary(settings.positive) if settings.positive else None
    if view is not None and len(np.unique(view.target)) > 1:
        both = class_curves(view, Resampler(view.group, view.target, view.classes), **how)
        curves |= {name: curve for name, curve in both.items() if name == "positive"}
    return curves


def _check(predictions: Predictions, name: str) -> None:
    if len(set(predictions.group)) < 2:
        raise ValueError(
            f"{name}: {quantity(len(predictions), 'image', 'is')} all of one group; intervals need several lesions"
        )
    present = np.unique(predictions.target)
    if len(present) < 2:
        only = predictions.classes[present[0]]
        raise ValueError(
            f"{name}: {quantity(len(predictions), 'image', 'is')} all {only}; metrics need images of two "
            "classes or more"
        )


def _intervals(samples: BootstrapSamples, level: float) -> Metrics:
    kept = {name: each for name, each in samples.intervals(level).items() if not name.startswith("support/")}
    return {name: each.to_dict() for name, each in kept.items()}


def _bootstrap(
    tables: Sequence[Predictions], replicates: Replicates, resampler: Resampler, settings: EvaluationSettings
) -> Trainings:
    """Return the bootstrap samples of each table's metrics."""
    scorers = [Scorer(table.probabilities, table.target, table.classes) for table in tables]
    shown = track(scorers, "metrics of each table", len(scorers))
    samples = [bootstrap(scorer, resampler, n_draws=settings.n_draws, seed=settings.seed) for scorer in shown]
    return Trainings(dict(zip(replicates.keys, samples, strict=True)), replicates.overlap)


@part(15)
def _positive_blocks(
    tables: Sequence[Predictions],
    selection: Predictions | None,
    settings: EvaluationSettings,
    replicates: Replicates,
    pooled: bool,
    names: tuple[str, str],
) -> tuple[PositiveMetrics, list[FrozenThreshold], list[str]]:
    """Return what belongs to the positive classes against the others (null where there are none), and cautions."""
    blocks: PositiveMetrics = {
        "binary": None,
        "thresholds": None,
        "optimism": None,
        "decision_curve": None,
        "calibration_curve": None,
    }
    views = [view for table in tables if (view := settings.binary_view(table)) is not None]
    if not views:
        return blocks, [], []
    view = views[0]
    positive = list(settings.positive or view.classes[1:])
    if len(np.unique(view.target)) < 2:
        which = "Every image" if view.target[0] else "No image"
        unknown = "sensitivity, specificity, thresholds and the decision curve are not evaluated"
        return blocks, [], [f"{which} is positive ({', '.join(positive)}): {unknown}."]
    resampler = Resampler(view.group, view.target, view.classes)
    trainings = _bootstrap(views, replicates, resampler, settings)
    shifted = {key: at_prevalence(each, settings.prevalence) for key, each in trainings.samples.items()}
    samples = replace(trainings, samples=shifted).mean()
    metrics = _intervals(samples, settings.level)
    blocks["binary"] = {"positive": positive, "metrics": metrics}
    at: dict[str, Any] = {"level": settings.level, "seed": settings.seed, "prevalence": settings.prevalence}
    blocks["decision_curve"] = decision_curve_band(view, resampler, **at)
    arrays = view.probabilities[:, 1], view.target == 1, view.group
    blocks["calibration_curve"] = calibration_curve(*arrays, settings.level)
    chosen_on = None if selection is None or settings.cross_fit else settings.binary_view(selection)
    blocks["thresholds"], thresholds, blocks["optimism"], cautions = evaluate_rules(
        mean_predictions(views),
        chosen_on,
        replace(settings, positive=positive),
        cross_fit=pooled or settings.cross_fit,
        names=names,
        n_draws=settings.n_draws,
    )
    return blocks, thresholds, _ranking_cautions(metrics[f"auroc/{view.classes[-1]}"]) + cautions


def _ranking_cautions(auroc: Interval) -> list[str]:
    """Return a caution where the whole interval of the positive's AUROC lies below chance."""
    if auroc["high"] is None or not auroc["high"] < 0.5:
        return []
    return [
        f"AUROC of the positive is {auroc['value']:.3f}, significantly below 0.5: the probabilities rank the positive "
        "class lowest: is the column that of the other class?"
    ]
