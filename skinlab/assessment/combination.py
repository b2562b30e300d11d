"""Systems combined into one, and the single system that an ensemble is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skinlab.assessment.systems import System
from skinlab.evaluation.alignment import align_rows
from skinlab.evaluation.ensembles import combine, cross_fit_weights, fit_weights, rank_reference
from skinlab.evaluation.metric_registry import direction
from skinlab.evaluation.metrics import classification_metrics
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds import choose_threshold, cross_fitted_predictions


def single_members(systems: Sequence[System]) -> list[System]:
    """Return one member a system: its first seed, the mean of folds that share a test; or each seed of one system.

    Raises:
        ValueError: there is one member only.
    """
    if len(systems) == 1 and systems[0].over == "seed":
        return [_seed(systems[0], i) for i in range(len(systems[0].tables))]
    if len(systems) < 2:
        raise ValueError(f"runs={systems[0].name} is one system: an ensemble takes two or more, or several seeds")
    return [_fold_mean(system) if system.over == "fold" else _seed(system, 0) for system in systems]


def _seed(system: System, i: int) -> System:
    """Return one seed of a system as a member."""
    if system.over is None:
        return system
    key = system.keys[i]
    runs = [run for run in system.runs if run.config["seed"] == key]
    name = system.name if i == 0 else f"{system.name} (seed {key})"
    sources = [each for each in system.sources if Path(each["path"]).parents[1] in {run.path for run in runs}]
    selection = system.selection if i == 0 else None
    one = replace(system, name=name, tables=[system.tables[i]], sources=sources, selection=selection)
    return replace(one, over=None, keys=[], runs=runs)


def _fold_mean(system: System) -> System:
    first, mean = system.tables[0], np.mean([table.probabilities for table in system.tables], axis=0)
    return replace(system, tables=[first.with_probabilities(mean)], over=None, keys=[], selection=None)


def join(
    members: Sequence[System], method: str, *, seed: int, name: str | None = None
) -> tuple[System, dict[str, Any]]:
    """Return the ensemble as a system, and what it has learned for later use, by the arguments' names of ``combine``.

    Weights are learned on the members' selection rows where all have them; else each row is weighted by what other
    groups' rows taught, and the weights for later use are learned on all rows. Later ranks are taken among these rows.
    """
    rows, p = members[0].tables[0], _stack([member.tables[0] for member in members])
    chosen_on, weights = _selections(members), None
    learned: dict[str, Any] = {"reference": rank_reference(p)} if method == "rank" else {}
    if method == "weighted":
        learned_on = chosen_on or [member.tables[0] for member in members]
        weights = fit_weights(_stack(learned_on), learned_on[0].target)
        learned = {"weights": weights.tolist()}
    if method == "weighted" and not chosen_on:
        combined = cross_fit_weights(p, rows.target, rows.group, seed=seed)[0]
    else:
        combined = combine(p, method, weights=weights)
    whole = System(
        name or f"{method} of {len(members)}",
        [rows.with_probabilities(combined)],
        [each for member in members for each in member.sources],
        pooled=members[0].pooled,
        runs=[run for member in members for run in member.runs],
    )
    if chosen_on and method != "overlap":
        selection = chosen_on[0].with_probabilities(combine(_stack(chosen_on), method, weights=weights))
        whole = replace(whole, selection=selection)
    return whole, learned


def _stack(tables: Sequence[Predictions]) -> Any:
    return np.stack([table.probabilities for table in tables])


def _selections(members: Sequence[System]) -> list[Predictions]:
    """Return the rows on which each member may be chosen, none where a member has none."""
    found = [member.selection for member in members if member.selection is not None]
    return align_rows(found, [member.name for member in members]) if len(found) == len(members) else []


def _view(rows: Predictions, positive: Sequence[str] | None) -> Predictions:
    """Return rows as positives against others, which two classes are already."""
    view = rows.binary(positive) if positive else rows
    if len(view.classes) != 2:
        raise ValueError("method=overlap calls positives: name them, as in positive=[mel,bcc,akiec]")
    return view


def _f1_threshold(member: System, positive: Sequence[str] | None) -> float:
    """Return a member's threshold of best F1 for later use, chosen on its selection rows, without them on all."""
    view = _view(member.tables[0] if member.selection is None else member.selection, positive)
    return choose_threshold(view.probabilities[:, 1], view.target == 1, "f1")


def _hard_calls(member: System, positive: Sequence[str] | None) -> System:
    """Turn a member's probabilities into calls at its threshold of best F1, chosen on other rows."""
    table = _view(member.tables[0], positive)
    score = table.probabilities[:, 1]
    if member.selection is not None:
        called = score >= _f1_threshold(member, positive)
    else:
        called = cross_fitted_predictions(score, table.target == 1, table.group, "f1")
    hard = table.with_probabilities(np.stack([1.0 - called, 1.0 * called], 1))
    return replace(member, tables=[hard], selection=None)


def seed_ensemble(
    systems: Sequence[System], members: Sequence[System], config: dict[str, Any]
) -> tuple[list[System], str]:
    """Return the fair rival, as many seeds of the best single system as there are members, and a sentence about it.

    The best is taken on the rows that are reported, which flatters the rival a little: the safe side for a claim
    against it.
    """
    n = len(members)
    enough = [system for system in systems if system.over == "seed" and len(system.tables) >= n]
    if len(systems) == 1:
        return [], "the members are seeds of one system already"
    if not enough:
        return [], f"no system has {n} seeds; train {n} seeds of the best one for the rival of equal cost"
    figure = config["search"] or "pr_auc_macro"

    def quality(system: System) -> float:
        each = [classification_metrics(t.probabilities, t.target, t.classes)[figure] for t in system.tables]
        return float(np.mean(each)) * (-1 if direction(figure) == "min" else 1)

    best = max(enough, key=quality)
    seeds = [_seed(best, i) for i in range(n)]
    if config["method"] == "overlap":
        seeds = [_hard_calls(seed, config["positive"]) for seed in seeds]
    rival, _ = join(seeds, config["method"], seed=config["seed"], name=f"{n} seeds of {best.name}")
    return [rival], f"{n} seeds of {best.name} cost as much as the ensemble"
