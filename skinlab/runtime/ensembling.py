"""An ensemble of systems: its predictions, whether it pays against its members and its fair rival, and its bundle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skinlab.errors import UserError, nearest
from skinlab.evaluation.alignment import agree
from skinlab.evaluation.ensemble_search import Choice, Search, diversity, search_subsets
from skinlab.evaluation.ensembles import METHODS, combine, cross_fit_weights, fit_weights, rank_reference
from skinlab.evaluation.metrics import LOWER_IS_BETTER, classification_metrics
from skinlab.evaluation.predictions import DECIMALS, Predictions, predictions_table
from skinlab.evaluation.thresholds import choose_threshold, cross_fitted_calls
from skinlab.runtime.evaluating import build_evidence, check_settings, write_evidence
from skinlab.runtime.prediction_tables import table_reader
from skinlab.runtime.run_directory import replacing, write_json, write_text
from skinlab.runtime.systems import System, align, find_systems

if TYPE_CHECKING:
    from skinlab.models.bundle import Bundle

log = logging.getLogger(__name__)


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
    if config["bundle"] not in ("auto", True, False):
        raise UserError(f"bundle={config['bundle']}: choose auto, true or false")
    if method == "overlap" and asked.frozen:
        raise UserError("apply_thresholds= and method=overlap: an overlap makes calls already; leave one out")
    found = find_systems(config["runs"], split=config["split"], reader=table_reader(config))
    try:
        systems = align(found, config["positive"])
        members, learned = single_members(systems), {}
        if method == "overlap":
            if len(members[0].tables[0].classes) == 2:
                config = config | {"positive": None}  # they are the view already
            asked = replace(asked, positive=None, rules=())
            learned = {"thresholds": [_f1_threshold(member, config["positive"]) for member in members]}
            members = [_hard_calls(member, config["positive"]) for member in members]
        combined, more = join(members, method, seed=config["seed"])
        learned |= more
        rivals, rival_words = seed_ensemble(systems, members, config)
        evidence, thresholds = build_evidence(
            [*members, combined, *rivals], asked, config | {"reference": combined.name}, "ensemble"
        )
        evidence["ensemble"] = _facts(members, config, learned) | {"rival": rival_words}
    except ValueError as error:
        raise UserError(str(error)) from None
    bundle = _bundle(members, learned, config, thresholds.get(combined.name, []))
    (block,) = [each for each in evidence["systems"] if each["name"] == combined.name]

    def write_others() -> None:
        _write_predictions(combined, evidence["ensemble"] | {"seen": block["seen"]}, output)
        if bundle is not None:
            from skinlab.models.bundle import save_bundle

            with replacing(output / "model.bundle") as temporary:
                save_bundle(bundle, temporary)

    write_evidence(evidence, thresholds, output, write_others)


def _write_predictions(combined: System, facts: dict[str, Any], output: Path) -> None:
    table = combined.tables[0]
    split = "oof" if combined.pooled else combined.sources[0]["split"]
    rows = pd.DataFrame({key: getattr(table, key) for key in ("image_id", "group", "source", "fold")})
    rows = rows.assign(split=split, label=np.asarray(table.classes, object)[table.target])
    text = predictions_table(rows, table.probabilities, table.classes).to_csv(index=False, float_format=DECIMALS)
    write_text(output / "predictions" / f"{split}.csv", text)
    kept = {name: facts[name] for name in ("method", "members", "weights", "thresholds", "seen")}
    positive = table.classes[1:] if len(table.classes) == 2 else None
    write_json(output / "predictions" / "meta.json", {"classes": table.classes, "positive": positive} | kept)


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
    return agree(found, [member.name for member in members]) if len(found) == len(members) else []


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


def _facts(members: Sequence[System], config: dict[str, Any], learned: dict[str, Any]) -> dict[str, Any]:
    """Return what the evidence says of the ensemble itself."""
    names, tables = [member.name for member in members], [member.tables[0] for member in members]
    pairs = diversity(_stack(tables), tables[0].target)
    facts: dict[str, Any] = {
        "method": config["method"],
        "members": names,
        **{name: _rounded(learned.get(name)) for name in ("weights", "thresholds")},
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


def _rounded(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else [round(value, 6) for value in values]


def _search_facts(found: Search, n_rows: int) -> dict[str, Any]:
    def plain(choice: Choice) -> dict[str, Any]:
        kept = ("nested", "same_rows", "typical", "flatters", "worth", "agreeing")
        return {"chosen": list(choice.chosen)} | {name: getattr(choice, name) for name in kept}

    kinds = {kind: plain(getattr(found, kind)) for kind in ("single", "pair", "subset")}
    among = {"considered": found.considered, "exhaustive": found.exhaustive, "folds": len(found.subset.per_fold)}
    return {"figure": found.figure, "rows": n_rows, "everyone": found.everyone, **among, **kinds}


def _bundle(
    members: Sequence[System], learned: dict[str, Any], config: dict[str, Any], thresholds: list[dict[str, Any]]
) -> Bundle | None:
    """Return the members' networks as one that predict takes, a member's folds a team; None where that is not wanted.

    Raises:
        UserError: it must be, and a member has no run, or a run no checkpoint that fits the others'.
    """
    from skinlab.models.bundle import load_bundle  # torch, only where it is needed
    from skinlab.models.ensembling import ensemble
    from skinlab.runtime.seen_images import members_images

    if config["bundle"] is False:
        return None
    places = [str(run.path) for member in members for run in member.runs]
    try:
        for member in members:
            if not member.runs:
                raise UserError(f"{member.name} is a table, without a run's checkpoint")
        models = [load_bundle(place) for place in places]
        whole = ensemble(models, places)
        seen = members_images(places, models)
    except UserError as error:
        if config["bundle"] is True:
            raise UserError(f"bundle=true: {error}") from None
        log.warning("no model.bundle: %s", error)
        return None
    teams = tuple(i for i, member in enumerate(members) for _ in member.runs)
    positive = config["positive"] if config["method"] == "overlap" else None
    last = members[0].tables[0].classes[-1]  # the positive one of two classes
    if len(whole.classes) == 2 and not last == whole.classes[-1] == whole.positive_output:
        positive = [last] if config["method"] == "overlap" else None
        if "reference" in learned and last != whole.classes[-1]:
            learned = {"reference": learned["reference"][..., ::-1]}
    facts = {"method": config["method"], "learned": learned, "positive": positive, "thresholds": thresholds}
    return replace(whole, teams=teams, training_images=seen, **facts)
