"""An ensemble of systems: its predictions, whether it pays against its members and its fair rival, and its bundle."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skinlab.assessment.combination import (
    _f1_threshold,
    _hard_calls,
    _selections,
    _stack,
    join,
    seed_ensemble,
    single_members,
)
from skinlab.assessment.evidence_files import build_evidence, write_evidence
from skinlab.assessment.settings import check_settings
from skinlab.assessment.systems import System, align, find_systems
from skinlab.errors import UserError, nearest
from skinlab.evaluation import evidence_form
from skinlab.evaluation.ensemble_search import Search, SubsetChoice, diversity, search_subsets
from skinlab.evaluation.ensembles import COMBINATIONS
from skinlab.evaluation.predictions import DECIMALS, predictions_table
from skinlab.files import replacing, write_json, write_text
from skinlab.tables.predictions import table_reader

if TYPE_CHECKING:
    from skinlab.inference.bundle import Bundle

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
    if method not in COMBINATIONS:
        raise UserError(f"method={method}: choose {', '.join(COMBINATIONS)}{nearest(str(method), COMBINATIONS)}")
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
        evidence["ensemble"] = _facts(members, config, learned, rival_words)
    except ValueError as error:
        raise UserError(str(error)) from None
    bundle = _bundle(members, learned, config, thresholds.get(combined.name, []))
    (block,) = [each for each in evidence["systems"] if each["name"] == combined.name]

    def write_others() -> None:
        _write_predictions(combined, {**evidence["ensemble"], "seen": block["seen"]}, output)
        if bundle is not None:
            from skinlab.inference.bundle import save_bundle

            with replacing(output / "model.bundle") as temporary:
                save_bundle(bundle, temporary)

    write_evidence(evidence, thresholds, output, write_others)


def _write_predictions(combined: System, facts: Mapping[str, Any], output: Path) -> None:
    table = combined.tables[0]
    split = "oof" if combined.pooled else combined.sources[0]["split"]
    rows = pd.DataFrame({key: getattr(table, key) for key in ("image_id", "group", "source", "fold", "path")})
    rows = rows.assign(split=split, label=np.asarray(table.classes, object)[table.target])
    text = predictions_table(rows, table.probabilities, table.classes).to_csv(index=False, float_format=DECIMALS)
    write_text(output / "predictions" / f"{split}.csv", text)
    kept = {name: facts[name] for name in ("method", "members", "weights", "thresholds", "seen")}
    positive = table.classes[1:] if len(table.classes) == 2 else None
    write_json(output / "predictions" / "meta.json", {"classes": table.classes, "positive": positive} | kept)


def _facts(
    members: Sequence[System], config: dict[str, Any], learned: dict[str, Any], rival: str
) -> evidence_form.Ensemble:
    """Return what the evidence says of the ensemble itself."""
    names, tables = [member.name for member in members], [member.tables[0] for member in members]
    pairs = diversity(_stack(tables), tables[0].target)
    facts: evidence_form.Ensemble = {
        "method": config["method"],
        "members": names,
        "weights": _rounded(learned.get("weights")),
        "thresholds": _rounded(learned.get("thresholds")),
        "diversity": [_pair(names[i], names[j], pair) for (i, j), pair in pairs.items()],
        "search": None,
        "rival": rival,
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


def _pair(a: str, b: str, values: Mapping[str, float]) -> evidence_form.Diversity:
    return {
        "a": a,
        "b": b,
        "disagreement": values["disagreement"],
        "both_wrong": values["both_wrong"],
        "error_correlation": values["error_correlation"],
        "q_statistic": values["q_statistic"],
    }


def _rounded(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else [round(value, 6) for value in values]


def _search_facts(found: Search, n_rows: int) -> evidence_form.Search:
    def plain(choice: SubsetChoice) -> evidence_form.Subset:
        return {
            "chosen": list(choice.chosen),
            "nested": choice.nested,
            "same_rows": choice.same_rows,
            "typical": choice.typical,
            "flatters": choice.optimism,
            "worth": choice.worth,
            "agreeing": choice.agreeing,
        }

    return {
        "figure": found.metric,
        "rows": n_rows,
        "everyone": found.everyone,
        "considered": found.considered,
        "exhaustive": found.exhaustive,
        "folds": len(found.subset.per_fold),
        "single": plain(found.single),
        "pair": plain(found.pair),
        "subset": plain(found.subset),
    }


def _bundle(
    members: Sequence[System], learned: dict[str, Any], config: dict[str, Any], thresholds: list[dict[str, Any]]
) -> Bundle | None:
    """Return the members' networks as one that predict takes, a member's folds a team; None where that is not wanted.

    Raises:
        UserError: it must be, and a member has no run, or a run no checkpoint that fits the others'.
    """
    from skinlab.inference.bundle import load_bundle  # torch, only where it is needed
    from skinlab.inference.ensembling import ensemble
    from skinlab.runs.provenance import members_images

    if config["bundle"] is False:
        return None
    places = [str(run.path) for member in members for run in member.runs]
    try:
        for member in members:
            if not member.runs:
                raise UserError(f"{member.name} is a table, without a run's checkpoint")
        models = [load_bundle(place) for place in places]
        whole = ensemble(models, places)
        seen = members_images(places, (model.training_images for model in models))
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
