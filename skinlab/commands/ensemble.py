"""Combine systems into an ensemble: its predictions, its evidence beside its members', and its bundle."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skinlab.assessment.alignment import align
from skinlab.assessment.combination import (
    build_ensemble,
    ensemble_facts,
    equal_cost_baseline,
    learned_on,
    overlap_members,
    refuse_learning_on_test,
    single_members,
)
from skinlab.assessment.evaluation_settings import open_evaluation, table_reader
from skinlab.assessment.evidence_files import (
    build_evidence,
    complete_evidence,
    write_pages,
)
from skinlab.assessment.naming import named
from skinlab.assessment.openings import open_test
from skinlab.assessment.sources import checkpoints_of
from skinlab.assessment.systems import System, find_systems
from skinlab.errors import UserError, nearest, user_errors
from skinlab.evaluation.ensembles.combination import COMBINATIONS
from skinlab.evaluation.evidence.form import Evidence
from skinlab.evaluation.predictions import FLOAT_FORMAT, predictions_table
from skinlab.evaluation.thresholds.decision import Decision
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.files import claim, replacing, write_json, write_text
from skinlab.report.terminal import predict_by, print_evidence, print_places
from skinlab.settings.command import Invocation
from skinlab.settings.commands.ensemble import EnsembleSettings
from skinlab.tracking.wandb_evidence import log_evidence

if TYPE_CHECKING:
    from skinlab.inference.bundle import Bundle

log = logging.getLogger(__name__)


def ensemble(settings: EnsembleSettings, invocation: Invocation) -> None:
    """Combine the systems of ``runs`` and write predictions, evidence, report and bundle into ``output``.

    Args:
        settings: of the command.
        invocation: its command line is recorded.

    Raises:
        UserError: whatever the user has to correct; nothing has been written then.
    """
    if settings.method not in COMBINATIONS:
        hint = nearest(settings.method, COMBINATIONS)
        raise UserError(f"method={settings.method}: choose {', '.join(COMBINATIONS)}{hint}")
    (output, evaluation, provenance), method = open_evaluation(settings, invocation), settings.method
    found = find_systems(settings.runs, split=settings.split, reader=table_reader(settings))
    found = named(found, settings.names, "runs")
    with user_errors():
        systems = align(found, evaluation.positive)
        members, thresholds = single_members(systems), None
        refuse_learning_on_test(members, settings)
        if settings.bundle is True:
            run_places(members, "bundle=true: ")
        positive = evaluation.positive if len(members[0].tables[0].classes) > 2 else None
        fit = learned_on(members, method)
        if method == "overlap":
            evaluation = replace(evaluation, positive=None, rules=(), decide="argmax")
            members, thresholds = overlap_members(members, positive, evaluation.prevalence)
        ensemble, learned = build_ensemble(members, method, seed=settings.seed)
        learned |= {} if thresholds is None else {"thresholds": thresholds}
        baselines, sentence = equal_cost_baseline(systems, members, settings, positive)
        judged = [*members, ensemble, *baselines]
        evaluation = replace(evaluation, reference=ensemble.name)
        evidence, frozen = build_evidence(judged, evaluation, provenance=provenance)
        if method == "overlap" and positive:
            evidence["settings"]["positive"] = list(positive)  # of the members, before they were a binary view
        evidence["ensemble"] = ensemble_facts(members, settings, learned, sentence)
    bundle = build_bundle(members, settings, learned, positive, frozen.get(ensemble.name, []))

    rule = next(each for each in evidence["systems"] if each["name"] == ensemble.name).get("decision")
    if bundle is not None:
        decision = Decision.from_dict(rule) if rule else None
        bundle = replace(bundle, decision=decision).with_fit("learned", fit)

    with claim(output, "output"):
        open_test(evidence, judged, "ensemble", output)
        write_pages(evidence, frozen, output, settings.saliency)
        write_predictions(ensemble, members, evidence, output / "predictions")
        if bundle is not None:
            from skinlab.inference.bundle import save_bundle

            with replacing(output / "model.bundle") as temporary:
                save_bundle(bundle, temporary)
                warn_of_scale(bundle)
        log_evidence(evidence, output, enabled=settings.wandb)
        complete_evidence(evidence, output)
    print_evidence(evidence, output)
    if bundle is not None:
        print_bundle(members, settings, output / "model.bundle")


def print_bundle(members: Sequence[System], settings: EnsembleSettings, path: Path) -> None:
    """Print where the bundle is and how to predict by it; an overlap has calls of its own."""
    rule = None if settings.method == "overlap" else "f1"
    command = predict_by(path, members[0].runs[0].config["data"], rule=rule)
    print_places({"bundle": path, "to predict by it": command})


def warn_of_scale(bundle: Bundle) -> None:
    """Warn where what was chosen out of fold is applied to the mean of the folds' models."""
    from skinlab.inference.bundle_parts import fit_scale_cautions

    for sentence in fit_scale_cautions(bundle, bundle.fits):
        log.warning("model.bundle: %s", sentence)


def run_places(members: Sequence[System], setting: str = "") -> list[str]:
    """Return the directories of the members' runs.

    Raises:
        UserError: a member is a table without a run.
    """
    for member in members:
        if not member.runs:
            raise UserError(
                f"{setting}{member.name} is a table, without a run's checkpoint; give its run, or set bundle=false"
            )
    return [str(run.path) for member in members for run in member.runs]


def build_bundle(
    members: Sequence[System],
    settings: EnsembleSettings,
    learned: Mapping[str, Any],
    positive: Sequence[str] | None,
    thresholds: list[FrozenThreshold],
) -> Bundle | None:
    """Return the members' networks as one that predict takes, a member's folds a team; None where that is not wanted.

    Args:
        members: of the ensemble.
        settings: of the command.
        learned: what the ensemble has learned.
        positive: classes of the binary view of an overlap.
        thresholds: of the ensemble.

    Raises:
        UserError: it must be, and a member has no run, or a run no checkpoint that fits the others'.
    """
    from skinlab.inference import ensembling
    from skinlab.inference.bundle import load_bundle  # torch, only where it is needed
    from skinlab.runs.provenance import all_training_images

    if settings.bundle is False:
        return None
    try:
        places = run_places(members)
        models = [load_bundle(place) for place in places]
        whole = ensembling.ensemble(models, places)
        known = all_training_images(places, (model.training_images for model in models)).to_dict()
    except UserError as error:
        if settings.bundle is True:
            raise UserError(f"bundle=true: {error}") from None
        log.warning("no model.bundle: %s", error)
        return None
    overlap, learned = settings.method == "overlap", dict(learned)
    last = members[0].tables[0].classes[-1]  # the positive one of two classes
    own = list(positive) if overlap and positive else None
    if len(whole.classes) == 2 and not last == whole.classes[-1] == whole.positive_output:
        own = [last] if overlap else None
        if "reference" in learned and last != whole.classes[-1]:
            learned = {"reference": learned["reference"][..., ::-1]}
    teams = tuple(i for i, member in enumerate(members) for _ in member.runs)
    return replace(
        whole,
        method=settings.method,
        learned=learned,
        teams=teams,
        positive=own,
        thresholds=thresholds,
        training_images=known,
    )


def write_predictions(ensemble: System, members: Sequence[System], evidence: Evidence, folder: Path) -> None:
    """Write the table of the ensemble's predictions and its ``meta.json``."""
    table = ensemble.tables[0]
    split = "oof" if ensemble.pooled else ensemble.sources[0]["split"]
    rows = pd.DataFrame({key: getattr(table, key) for key in ("image_id", "group", "source", "fold", "path")})
    rows = rows.assign(split=split, label=np.asarray(table.classes, object)[table.target])
    text = predictions_table(rows, table.probabilities, table.classes).to_csv(index=False, float_format=FLOAT_FORMAT)
    write_text(folder / f"{split}.csv", text)
    facts: Mapping[str, Any] = evidence["ensemble"]
    kept = {name: facts[name] for name in ("method", "members", "weights", "thresholds")}
    overlap = next(each["training_overlap"] for each in evidence["systems"] if each["name"] == ensemble.name)
    positive = table.classes[1:] if len(table.classes) == 2 else None
    content = {"classes": table.classes, "positive": positive, **kept, "training_overlap": overlap}
    checkpoints = [checkpoints_of(each["meta"]) for member in members for each in member.sources]
    if all(checkpoints):
        content["checkpoints"] = sorted(set().union(*checkpoints))
    write_json(folder / "meta.json", content)
