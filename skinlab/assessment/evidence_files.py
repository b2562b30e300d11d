"""Evidence of systems, and the files that it is written to."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from skinlab.assessment.alignment import align
from skinlab.assessment.cautions import count_known_images, evaluation_cautions, prevalence_cautions
from skinlab.assessment.comparing import (
    check_metrics,
    check_reference,
    compare_systems,
    draw_cautions,
    in_pairs,
    net_benefit_of,
    replicates_of,
)
from skinlab.assessment.flow import image_flow
from skinlab.assessment.metadata import collect_metadata
from skinlab.assessment.mistakes import add_saliency
from skinlab.assessment.systems import System
from skinlab.data.image_files import exists
from skinlab.evaluation.ensembles.pooling import OUT_OF_FOLD
from skinlab.evaluation.evidence import form as evidence_form
from skinlab.evaluation.evidence.form import Evidence, Mistake, Provenance
from skinlab.evaluation.evidence.parts import row_cautions
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.evaluation.evidence.system import FORMAT, SystemEvidence, system_evidence
from skinlab.evaluation.evidence.upgrade import upgrade_evidence
from skinlab.evaluation.thresholds.decision import Decision
from skinlab.evaluation.thresholds.frozen import FrozenThreshold, thresholds_to_list
from skinlab.files import write_json, write_text
from skinlab.json_files import Keys, read_json
from skinlab.processes.progress import Progress, part
from skinlab.report.headlines import leading
from skinlab.settings.outputs import output_folder, refuse_existing
from skinlab.tables.csv_files import read_csv

log = logging.getLogger(__name__)

Thresholds = dict[str, list[FrozenThreshold]]  # name of a system → its thresholds
PAGES = ("report.html", "model_card.md")
VERSIONS = ("skinlab", "numpy", "pandas", "scikit-learn", "scipy")
PARTS, COMPARING = 100, 20  # units of progress of a system's evaluation, whose parts name theirs, and its comparisons
THUMBNAIL_SIDE = 240  # pixels of the longer side of the report's images


def build_evidence(
    systems: Sequence[System],
    settings: EvaluationSettings,
    *,
    provenance: Provenance,
) -> tuple[Evidence, Thresholds]:
    """Return the evidence of all systems with their comparisons, and the thresholds of each for a file.

    Args:
        systems: their rows may be in any order.
        settings: of the evaluation.
        provenance: see :func:`describe_provenance`.

    Raises:
        ValueError: rows unfit to be judged, or systems whose rows differ.
    """
    systems = align(systems, settings.positive, common=settings.common)
    names, classes = [system.name for system in systems], systems[0].tables[0].classes
    settings = settings.with_comparison(len(classes), rates=len(classes) == 2)
    check_reference(settings.reference, names)
    cautions = row_cautions(systems[0].tables[0])
    cautions += draw_cautions(settings, len(systems)) if in_pairs(len(systems), settings) else []
    cautions += prevalence_cautions(settings, systems[0].tables[0])
    metadata = collect_metadata(systems, settings.columns, settings.metadata, settings.labels)
    found = []
    comparing = 0 if len(systems) < 2 else (COMPARING if in_pairs(len(systems), settings) else 1) * len(systems)
    with Progress("evaluating", PARTS * len(systems) + comparing, percent=True) as progress:
        for number, system in enumerate(systems, 1):
            found.append((system, _evaluate(system, settings, metadata)))
            progress.advance(number * PARTS - progress.done)
        check_metrics(settings, list(found[0][1].block["metrics"]))
        pairs, best = part(comparing)(compare_systems)(found, settings) if len(found) > 1 else ([], [])
        net_benefit = net_benefit_of(systems, settings)
    endpoint = settings.endpoint
    evidence: Evidence = {
        "format": FORMAT,
        "settings": {
            "classes": classes,
            "positive": list(settings.positive or classes[1:]) if settings.positive or len(classes) == 2 else None,
            "prevalence": settings.prevalence,
            "cost_ratio": settings.cost_ratio,
            "n_draws": settings.n_draws,
            "level": settings.level,
            "seed": settings.seed,
            "endpoint": endpoint.to_dict() if endpoint else None,
        },
        "provenance": provenance,
        "systems": [_block(system, each) for system, each in found],
        "comparisons": [each.to_dict() for each in pairs],
        "best": best,
        "net_benefit": net_benefit,
        "cautions": cautions + evaluation_cautions(found),
    }
    return evidence, {system.name: each.thresholds for system, each in found if each.thresholds}


def _evaluate(system: System, settings: EvaluationSettings, metadata: pd.DataFrame) -> SystemEvidence:
    if system.runs and system.sources[0]["split"] == "val":  # other rows of the run are training rows
        settings = replace(settings, cross_fit=True)
    of_selection = OUT_OF_FOLD if system.replicate_axis == "fold" else "val"
    if (n := len(system.selections)) > 1:
        of_selection = f"val, mean of {n} seeds"
    return system_evidence(
        system.name,
        system.tables,
        settings,
        selection=system.selection,
        replicates=replicates_of(system),
        pooled=system.pooled,
        names=(
            OUT_OF_FOLD if system.pooled else system.sources[0]["split"],
            ", ".join(filter(None, [of_selection, system.selection_how])),
        ),
        training_prior=system.training_prior,
        metadata=metadata,
    )


def _block(system: System, found: SystemEvidence) -> evidence_form.System:
    """Return the block of a system with what is known of its files and runs."""
    _add_paths(found.block["worst_mistakes"], system)
    return {
        "init_used": system.run.metrics.get("init_used") if system.run else None,
        "init_licences": _licences(system),
        "groups_from": system.groups_from,
        "sources": system.sources,
        "flow": image_flow(system),
        "training_overlap": count_known_images(system),
        "test_access": None,  # see skinlab.assessment.openings.open_test
        "expectation": None,  # see skinlab.assessment.expectations.add_expectations
        **found.block,
    }


def _licences(system: System) -> list[str]:
    """Return the licences of the initial weights of a system's models, as its runs and predictions record them."""
    found = {run.metrics.get("init_licence") for run in system.runs}
    for source in system.sources:
        found |= set(source["meta"].get("init_licences") or [])
    return sorted(str(licence) for licence in found if licence)


def write_pages(evidence: Evidence, thresholds: Thresholds, output: Path, saliency: bool | str) -> None:
    """Write the report, the model card and the thresholds, if there are any: all files but ``evidence.json``.

    That of an earlier evaluation is removed, so that a process killed meanwhile leaves no mixture of both.

    Args:
        evidence: of the systems.
        thresholds: of the systems.
        output: folder to write.
        saliency: whether the report shows Grad-CAM: ``auto``, True (or fail) or False.
    """
    with Progress("writing the report", 10, percent=True):
        pages = part(4)(_render_pages)(part(6)(add_saliency)(evidence, saliency))
    (output / "evidence.json").unlink(missing_ok=True)
    for name, text in pages.items():
        write_text(output / name, text)
    if thresholds:
        rows = {name: thresholds_to_list(of_system) for name, of_system in thresholds.items()}
        write_json(output / "thresholds.json", rows)
    else:
        (output / "thresholds.json").unlink(missing_ok=True)  # of an earlier evaluation
    names = [each.name for each in fields(Decision)]
    rules = {each["name"]: dict(rule) for each in evidence["systems"] if (rule := each.get("decision"))}
    if rules:
        write_json(output / "decision.json", {of: {name: rule[name] for name in names} for of, rule in rules.items()})
    else:
        (output / "decision.json").unlink(missing_ok=True)


def complete_evidence(evidence: Evidence, output: Path) -> None:
    """Write ``evidence.json``, the last file, by which a folder counts as complete."""
    write_json(output / "evidence.json", evidence)


def evidence_folder(place: str, command_line: str, *, overwrite: bool) -> Path:
    """Return the folder that an evaluation writes.

    Evidence of a training may be replaced, and so may evidence of this very command that was left without its pages.

    Args:
        place: as given by ``output=``.
        command_line: of this command.
        overwrite: whether any evidence may be replaced.

    Raises:
        UserError: it is a file, or holds evidence already.
    """
    output = output_folder(place)
    path = output / "evidence.json"
    if overwrite or not path.exists():
        return output
    remedy = "choose another output= or set overwrite=true"
    keys: Keys = {"provenance.command": str}
    former: Evidence = read_json(path, "evidence of an evaluation", keys, remedy=remedy, upgrade=upgrade_evidence)
    command = former["provenance"]["command"]
    unfinished = not all((output / name).is_file() for name in PAGES)
    if not command.startswith("python -m skinlab.train") and not (unfinished and command == command_line):
        refuse_existing(path, overwrite=False)
    return output


def describe_provenance(command_line: str, config: Mapping[str, Any]) -> Provenance:
    """Return how something is made: the command line, its config, the versions of packages, and the day."""
    return {
        "command": command_line,
        "config": dict(config),
        "versions": {name: _version(name) for name in VERSIONS},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _add_paths(worst: Sequence[Mistake], system: System) -> None:
    """Look up the paths of the worst mistakes in the run's split.csv, for predictions tables without paths."""
    unknown = [each for each in worst if each["path"] is None]
    if not unknown or system.run is None or not (system.run.path / "split.csv").exists():
        return
    rows = read_csv(system.run.path / "split.csv", ["image_id", "path"])
    paths = dict(zip(rows["image_id"], rows["path"], strict=True))
    for each in unknown:
        each["path"] = paths.get(each["image_id"])


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _render_pages(evidence: Evidence) -> dict[str, str]:
    from skinlab.report.card import render_card
    from skinlab.report.page import render_report

    report, card = PAGES
    return {report: render_report(evidence, worst_images(evidence)), card: render_card(evidence)}


def worst_images(evidence: Evidence) -> dict[str, bytes]:
    """Return image_id → JPEG of the worst mistakes that a page shows; one that can't be read costs a warning."""
    from skinlab.data.images import BadImage, read_jpeg

    images = {}
    for system in leading(evidence)["systems"]:
        for each in system["worst_mistakes"]:
            if each["path"] and exists(each["path"]):
                try:
                    images[each["image_id"]] = read_jpeg(each["path"], THUMBNAIL_SIDE)
                except BadImage as error:
                    log.warning("the report shows %s without its image: %s", each["image_id"], error)
    return images
