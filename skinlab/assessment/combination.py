"""Combine systems into an ensemble, and the equal-cost baseline that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skinlab.assessment.systems import System
from skinlab.evaluation.ensembles.alignment import align_rows
from skinlab.evaluation.ensembles.combination import (
    COMBINATIONS,
    combine,
    cross_fit_weights,
    fit_weights,
    rank_reference,
)
from skinlab.evaluation.ensembles.pooling import OUT_OF_FOLD
from skinlab.evaluation.ensembles.search import diversity, search_subsets
from skinlab.evaluation.evidence import form as evidence_form
from skinlab.evaluation.metrics.registry import direction
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.overlap import FittedOn, refuse_overlap, row_keys
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds.choice import choose_threshold, cross_fitted_predictions
from skinlab.settings.commands.ensemble import EnsembleSettings


def single_members(systems: Sequence[System]) -> list[System]:
    """Return one member a system: its first seed, the mean of folds that share a test; or each seed of one system.

    Raises:
        ValueError: there is one member only.
    """
    if len(systems) == 1 and systems[0].replicate_axis == "seed":
        return [_seed(systems[0], i) for i in range(len(systems[0].tables))]
    if len(systems) < 2:
        (only,) = systems
        of_folds = f", to average its {len(only.runs)} models" if len(only.runs) > 1 else ""
        raise ValueError(
            f"runs={only.place} is one system: an ensemble takes two or more, or several seeds; to predict with it"
            f"{of_folds}: python -m skinlab.predict ckpt={only.place} input=FOLDER output=FILE.csv"
        )
    return [_fold_mean(system) if system.replicate_axis == "fold" else _seed(system, 0) for system in systems]


def _seed(system: System, i: int) -> System:
    """Return one seed of a system as a member."""
    if system.replicate_axis is None:
        return system
    key = system.replicate_ids[i]
    runs = [run for run in system.runs if run.config["seed"] == key]
    name = system.name if i == 0 else f"{system.name} (seed {key})"
    sources = [each for each in system.sources if Path(each["path"]).parents[1] in {run.path for run in runs}]
    selections = system.selections[i : i + 1]
    one = replace(system, name=name, tables=[system.tables[i]], sources=sources, selections=selections)
    return replace(one, replicate_axis=None, replicate_ids=[], runs=runs)


def _fold_mean(system: System) -> System:
    first, mean = system.tables[0], np.mean([table.probabilities for table in system.tables], axis=0)
    return replace(
        system, tables=[first.with_probabilities(mean)], replicate_axis=None, replicate_ids=[], selections=[]
    )


def overlap_members(
    members: Sequence[System], positive: Sequence[str] | None, prevalence: float | None = None
) -> tuple[list[System], list[float]]:
    """Turn members' probabilities into calls at their thresholds of best F1, chosen on other rows.

    Args:
        members: of the overlap.
        positive: classes of the binary view; None where there are two classes, whose last one is positive.
        prevalence: share of positives that the thresholds are for; None: that of the rows.

    Returns:
        The members with probabilities of 0 and 1, and the threshold of each for later use: chosen on its selection
        rows, without them on all.

    Raises:
        ValueError: there are more than two classes and none is positive.
    """
    _refuse_overlap(members, "thresholds")
    views = [_view(member.parts[-1], positive) for member in members]
    thresholds = [
        choose_threshold(view.probabilities[:, 1], view.target == 1, "f1", prevalence=prevalence) for view in views
    ]
    calls = [_as_calls(*each, positive, prevalence) for each in zip(members, thresholds, strict=True)]
    return calls, thresholds


def _as_calls(member: System, threshold: float, positive: Sequence[str] | None, prevalence: float | None) -> System:
    table = _view(member.tables[0], positive)
    score = table.probabilities[:, 1]
    if member.selection is not None:
        calls = score >= threshold
    else:
        calls = cross_fitted_predictions(score, table.target == 1, table.group, "f1", prevalence=prevalence)
    hard = table.with_probabilities(np.stack([1.0 - calls, 1.0 * calls], 1))
    return replace(member, tables=[hard], selections=[])


def _view(rows: Predictions, positive: Sequence[str] | None) -> Predictions:
    """Return rows as positives against others; of two classes they are that already."""
    view = rows.binary(positive) if positive else rows
    if len(view.classes) != 2:
        raise ValueError("method=overlap needs positive classes: name them, as in 'positive=[mel,bcc,akiec]'")
    return view


def build_ensemble(
    members: Sequence[System], method: str, *, seed: int, name: str | None = None
) -> tuple[System, dict[str, Any]]:
    """Return the ensemble as a system, and what it has learned for later use, by the arguments' names of ``combine``.

    Weights are learned on the members' selection rows where all have them; else each row is weighted by what other
    groups' rows taught, and the weights for later use are learned on all rows. Rules are chosen on selection rows whose
    weights other groups' rows taught. Later ranks are taken among the reported rows.
    """
    rows, p = members[0].tables[0], _stack([member.tables[0] for member in members])
    selections, weights = _selections(members), None
    learned: dict[str, Any] = {"reference": rank_reference(p)} if method == "rank" else {}
    if method == "weighted":
        _refuse_overlap(members, "weights")
        learned_on = selections or [member.tables[0] for member in members]
        weights = fit_weights(_stack(learned_on), learned_on[0].target)
        learned = {"weights": weights.tolist()}
    if method == "weighted" and not selections:
        combined = cross_fit_weights(p, rows.target, rows.group, seed=seed)
    else:
        combined = combine(p, method, weights=weights)
    ensemble = System(
        name or f"{method} of {len(members)}",
        [rows.with_probabilities(combined)],
        [each for member in members for each in member.sources],
        pooled=members[0].pooled,
        runs=[run for member in members for run in member.runs],
    )
    if selections and method != "overlap":
        first, own = selections[0], _stack(selections)
        if method == "weighted":  # rules chosen on rows that the weights are fitted on would be optimistic
            chosen_on = cross_fit_weights(own, first.target, first.group, seed=seed)
            ensemble = replace(ensemble, selection_how="weights cross-fitted")
        else:
            chosen_on = combine(own, method)
        ensemble = replace(ensemble, selections=[first.with_probabilities(chosen_on)])
    return ensemble, learned


def learned_on(members: Sequence[System], method: str) -> FittedOn | None:
    """Return the rows that a method learns on; None where it learns nothing.

    Args:
        members: before an overlap has turned their probabilities into calls.
        method: of combination.
    """
    learns = COMBINATIONS[method].learns
    if learns is None:
        return None
    selections = [] if method == "rank" else _selections(members)  # ranks are taken among the evaluated images
    name = "val" if selections else OUT_OF_FOLD if members[0].pooled else members[0].sources[0]["split"]
    return FittedOn.of(f"the ensemble's {learns}", name, (selections or members[0].tables)[0])


def _refuse_overlap(members: Sequence[System], learned: str) -> None:
    """Refuse to report an ensemble on rows that its weights or thresholds are learned on."""
    for member in members:
        if member.selection is not None:
            what, remedy = f"the ensemble's {learned} ({member.name})", "split validation and test images by group"
            refuse_overlap(member.tables[0], row_keys(member.selection), what, remedy)


def refuse_learning_on_test(members: Sequence[System], settings: EnsembleSettings) -> None:
    """Refuse a search, weights or thresholds that would be learned on the test of runs, for want of other rows.

    Raises:
        ValueError: the members are judged on the test and have no rows for a choice, as means over folds have none.
    """
    learns = settings.method in ("weighted", "overlap")
    of_test = any(source["split"] == "test" for member in members if member.runs for source in member.sources)
    if of_test and not _selections(members) and (learns or settings.search):
        what = f"method={settings.method}" if learns else f"search={settings.search}"
        remedy = "method=mean and search=null" if learns else "search=null"
        raise ValueError(
            f"split=test with {what}: the members have no validation images in common, so that it would learn on the "
            f"test; set {remedy}, or split=val"
        )


def _stack(tables: Sequence[Predictions]) -> Any:
    return np.stack([table.probabilities for table in tables])


def _selections(members: Sequence[System]) -> list[Predictions]:
    """Return the rows of each member on which a choice may be made, none where a member has none."""
    found = [member.selection for member in members if member.selection is not None]
    return align_rows(found, [member.name for member in members]) if len(found) == len(members) else []


def equal_cost_baseline(
    systems: Sequence[System], members: Sequence[System], settings: EnsembleSettings, positive: Sequence[str] | None
) -> tuple[list[System], str]:
    """Return as many seeds of the best single system as there are members, combined alike, and a sentence about it.

    The best is chosen on the selection rows, without them on the reported rows, which favours the
    baseline a little: the safe side for a claim against it. There is no baseline without a system of so many seeds.
    """
    n = len(members)
    enough = [system for system in systems if system.replicate_axis == "seed" and len(system.tables) >= n]
    if len(systems) == 1:
        return [], "the members are seeds of one system already"
    if not enough:
        return [], f"no system has {n} seeds; train {n} seeds of the best one for the equal-cost baseline"
    metric = settings.search or "pr_auc_macro"

    def quality(system: System) -> float:
        tables = system.selections or system.tables
        each = [classification_metrics(t.probabilities, t.target, t.classes)[metric] for t in tables]
        return float(np.mean(each)) * (-1 if direction(metric) == "min" else 1)

    best = max(enough, key=quality)
    seeds = [_seed(best, i) for i in range(n)]
    if settings.method == "overlap":
        seeds, _ = overlap_members(seeds, positive, settings.prevalence)
    baseline, _ = build_ensemble(seeds, settings.method, seed=settings.seed, name=f"{n} seeds of {best.name}")
    return [baseline], f"{n} seeds of {best.name} cost as much as the ensemble"


def ensemble_facts(
    members: Sequence[System], settings: EnsembleSettings, learned: Mapping[str, Any], baseline: str
) -> evidence_form.Ensemble:
    """Return what the evidence says of the ensemble itself: its members, their diversity and the search for a subset.

    Args:
        members: as they were combined.
        settings: of the command.
        learned: what the ensemble has learned.
        baseline: the sentence about the equal-cost baseline.
    """
    names, tables = [member.name for member in members], [member.tables[0] for member in members]
    facts: evidence_form.Ensemble = {
        "method": settings.method,
        "members": names,
        "weights": _rounded(learned.get("weights")),
        "thresholds": _rounded(learned.get("thresholds")),
        "diversity": diversity(_stack(tables), names, tables[0].target),
        "search": None,
        "equal_cost_baseline": baseline,
    }
    if settings.search and settings.method not in ("weighted", "overlap"):
        facts["search"] = _search(_selections(members) or tables, names, settings)
    return facts


def _search(rows: Sequence[Predictions], names: Sequence[str], settings: EnsembleSettings) -> evidence_form.Search:
    """Search the best subset of the members, nested over folds."""
    first, metric = rows[0], str(settings.search)
    found = search_subsets(
        *(_stack(rows), names, first.target, first.group, first.classes, metric),
        max_size=settings.max_size,
        seed=settings.seed,
        method=settings.method,
    )
    return {
        "metric": metric,
        "rows": len(first),
        "all_members": found.all_members,
        "n_candidates": found.n_candidates,
        "exhaustive": found.exhaustive,
        "folds": len(found.subset.per_fold),
        "single": found.single.to_dict(),
        "pair": found.pair.to_dict(),
        "subset": found.subset.to_dict(),
    }


def _rounded(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else [round(value, 6) for value in values]
