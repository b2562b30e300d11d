"""An ensemble of systems: its predictions, whether it pays against its members and its fair rival, and its bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skinlab.errors import UserError, nearest
from skinlab.evaluation.alignment import agree
from skinlab.evaluation.ensemble_search import Choice, Search, diversity, search_subsets
from skinlab.evaluation.ensembles import METHODS, combine, cross_fit_weights, fit_weights
from skinlab.evaluation.metrics import LOWER_IS_BETTER, classification_metrics
from skinlab.evaluation.predictions import DECIMALS, Predictions, predictions_table
from skinlab.evaluation.thresholds import choose_threshold, cross_fitted_calls
from skinlab.runtime.evaluating import build_evidence, check_settings, write_evidence
from skinlab.runtime.run_directory import replacing, write_json, write_text
from skinlab.runtime.systems import System, align, find_systems

BUNDLED = ("mean", "geometric", "weighted")  # what a bundle can do by itself


def combine_systems(config: dict[str, Any]) -> None:
    """Combine the systems of ``runs`` and write predictions, evidence, report and bundle into ``output``.

    Args:
        config: the resolved config of ``conf/ensemble.yaml``.

    Raises:
        UserError: whatever a person must mend; nothing has been written then.
    """
    output, asked = check_settings(config, "runs")
    method = config["method"]
    if method not in METHODS:
        raise UserError(f"method={method}: choose {', '.join(METHODS)}{nearest(str(method), METHODS)}")
    if config["bundle"] is True and method not in BUNDLED:
        raise UserError(f"method={method} can't be bundled: say bundle=false, or choose {', '.join(BUNDLED)}")
    found = find_systems(config["runs"], split=config["split"], labels=config["labels"])
    try:
        systems = align(found)
        members = single_members(systems)
        if method == "overlap":
            members = [_hard_calls(member, config["positive"]) for member in members]
            asked = replace(asked, positive=None, rules=())
        combined, weights = join(members, method, seed=config["seed"])
        rivals, rival_words = seed_ensemble(systems, members, config)
        evidence, thresholds = build_evidence(
            [*members, combined, *rivals], asked, config | {"reference": combined.name}, "ensemble"
        )
        evidence["ensemble"] = _facts(members, config, weights) | {"rival": rival_words}
    except ValueError as error:
        raise UserError(str(error)) from None
    if config["bundle"] and method in BUNDLED and all(member.runs for member in members):
        _write_bundle(members, method, weights, output)
    table = combined.tables[0]
    split = "oof" if combined.pooled else combined.sources[0]["split"]
    rows = pd.DataFrame({key: getattr(table, key) for key in ("image_id", "group", "source", "fold")})
    rows = rows.assign(split=split, label=np.asarray(table.classes, object)[table.target])
    text = predictions_table(rows, table.probabilities, table.classes).to_csv(index=False, float_format=DECIMALS)
    write_text(output / "predictions" / f"{split}.csv", text)
    meta = {"classes": table.classes, "method": method, "members": [member.name for member in members]}
    write_json(output / "predictions" / "meta.json", meta | {"weights": weights})
    write_evidence(evidence, thresholds, output)


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


def join(members: Sequence[System], method: str, *, seed: int, name: str | None = None) -> tuple[System, Any]:
    """Return the ensemble as a system, and the weights for later use if it has any.

    Weights are learned on the members' selection rows where all have them; else each row is weighted by what other
    groups' rows taught, and the weights for later use are learned on all rows.
    """
    rows, p = members[0].tables[0], _stack([member.tables[0] for member in members])
    chosen_on, weights = _selections(members), None
    if method == "weighted":
        learned_on = chosen_on or [member.tables[0] for member in members]
        weights = fit_weights(_stack(learned_on), learned_on[0].target)
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
    return whole, None if weights is None else [round(float(weight), 6) for weight in weights]


def _stack(tables: Sequence[Predictions]) -> Any:
    return np.stack([table.probabilities for table in tables])


def _selections(members: Sequence[System]) -> list[Predictions]:
    """Return the rows on which each member may be chosen, none where a member has none."""
    found = [member.selection for member in members if member.selection is not None]
    return agree(found, [member.name for member in members]) if len(found) == len(members) else []


def _hard_calls(member: System, positive: Sequence[str] | None) -> System:
    """Turn a member's probabilities into calls at its threshold of best F1, chosen on other rows."""
    table = member.tables[0].binary(positive) if positive else member.tables[0]
    if len(table.classes) != 2:
        raise ValueError("method=overlap calls positives: name them, as in positive=[mel,bcc,akiec]")
    score = table.probabilities[:, 1]
    if member.selection is not None:
        chosen_on = member.selection.binary(positive) if positive else member.selection
        called = score >= choose_threshold(chosen_on.probabilities[:, 1], chosen_on.target == 1, "f1")
    else:
        called = cross_fitted_calls(score, table.target == 1, table.group, "f1")
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
        return float(np.mean(each)) * (-1 if figure in LOWER_IS_BETTER else 1)

    best = max(enough, key=quality)
    seeds = [_seed(best, i) for i in range(n)]
    if config["method"] == "overlap":
        seeds = [_hard_calls(seed, config["positive"]) for seed in seeds]
    rival, _ = join(seeds, config["method"], seed=config["seed"], name=f"{n} seeds of {best.name}")
    return [rival], f"{n} seeds of {best.name} cost as much as the ensemble"


def _facts(members: Sequence[System], config: dict[str, Any], weights: list[float] | None) -> dict[str, Any]:
    """Return what the evidence says of the ensemble itself."""
    names, tables = [member.name for member in members], [member.tables[0] for member in members]
    pairs = diversity(_stack(tables), tables[0].target)
    facts: dict[str, Any] = {
        "method": config["method"],
        "members": names,
        "weights": weights,
        "diversity": [{"a": names[i], "b": names[j]} | pair for (i, j), pair in pairs.items()],
        "search": None,
    }
    if config["search"] and config["method"] not in ("weighted", "overlap"):
        rows = _selections(members) or tables
        found = search_subsets(
            _stack(rows),
            names,
            rows[0].target,
            rows[0].group,
            rows[0].classes,
            config["search"],
            max_size=config["max_size"],
            seed=config["seed"],
            method=config["method"],
        )
        facts["search"] = _search_facts(found, len(rows[0]))
    return facts


def _search_facts(found: Search, n_rows: int) -> dict[str, Any]:
    def plain(choice: Choice) -> dict[str, Any]:
        kept = ("nested", "same_rows", "typical", "flatters", "worth")
        return {"chosen": list(choice.chosen)} | {name: getattr(choice, name) for name in kept}

    kinds = {kind: plain(getattr(found, kind)) for kind in ("single", "pair", "subset")}
    return {"figure": found.figure, "rows": n_rows, "everyone": found.everyone, **kinds}


def _write_bundle(members: Sequence[System], method: str, weights: list[float] | None, output: Path) -> None:
    """Write the members' networks into one file that predict takes; a member's folds share its weight."""
    from skinlab.models.bundle import load_bundle, save_bundle  # torch, only where it is needed
    from skinlab.models.ensembling import ensemble

    places = [str(run.path) for member in members for run in member.runs]
    shares = None
    if weights is not None:
        shares = [w / len(m.runs) for w, m in zip(weights, members, strict=True) for _ in m.runs]
    bundle = ensemble([load_bundle(place) for place in places], places, method=method, weights=shares)
    with replacing(output / "model.bundle") as temporary:
        save_bundle(bundle, temporary)
