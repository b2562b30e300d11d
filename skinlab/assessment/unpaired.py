"""Evidence of systems on different images, such as one system at home and elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np

from skinlab.assessment.alignment import align
from skinlab.assessment.comparing import check_metrics, check_reference, draw_cautions
from skinlab.assessment.evidence_files import Thresholds, build_evidence
from skinlab.assessment.systems import System
from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.evidence.form import Evidence, Provenance
from skinlab.evaluation.evidence.rules import called_rule, decide_by_threshold, headline_rule
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.evaluation.evidence.system import system_rules
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.data_sets import DataSet, compare_data_sets
from skinlab.processes.progress import Progress, counted
from skinlab.tables.image_ids import match_ids
from skinlab.tables.same_names import with_names_of
from skinlab.text import quantity


def are_unpaired(systems: Sequence[System], wanted: bool | Literal["auto"]) -> bool:
    """Return whether systems are compared as of different images.

    Args:
        systems: as found.
        wanted: ``auto`` for whether no two of them share an image while their classes are the same.

    Raises:
        ValueError: they must be, and there is one only, or two share images.
    """
    if wanted == "auto":
        classes = {frozenset(system.tables[0].classes) for system in systems}
        pairs = combinations([system.tables[0] for system in systems], 2)
        return len(systems) > 1 and len(classes) == 1 and not any(_shared(a, b)[0].any() for a, b in pairs)
    if wanted and len(systems) < 2:
        raise ValueError("unpaired=true compares systems on different images: give two or more, predictions=A,B")
    for a, b in combinations(systems if wanted else [], 2):
        shared, how = _shared(a.tables[0], b.tables[0])
        if shared.any():
            image = b.tables[0].image_id[int(shared.argmax())]
            raise ValueError(
                f"unpaired=true: {a.name} and {b.name} share {quantity(int(shared.sum()), 'image')} (first: {image}, "
                f"by {how}); leave them out of one table, or compare on the same images: unpaired=false"
            )
    return bool(wanted)


def _shared(a: Predictions, b: Predictions) -> tuple[np.ndarray, str]:
    """Return which rows of b are images of a, and by what: id, file or pixels."""
    ids = match_ids([str(image) for image in b.image_id], [str(image) for image in a.image_id]).known
    kinds = {"id": np.array([name != "" for name in ids])}
    for kind, name in (("file", "path"), ("pixels", "image_hash")):
        theirs = getattr(b, name).astype(str)
        kinds[kind] = (theirs != "") & np.isin(theirs, getattr(a, name).astype(str))
    return np.any(list(kinds.values()), axis=0), next((kind for kind, each in kinds.items() if each.any()), "id")


def build_unpaired_evidence(
    systems: Sequence[System], settings: EvaluationSettings, *, provenance: Provenance
) -> tuple[Evidence, Thresholds]:
    """Return what :func:`~skinlab.assessment.evidence_files.build_evidence` does, of systems each on its own images.

    No two of them share an image, see :func:`are_unpaired`, and their comparisons are unpaired.

    Raises:
        ValueError: rows unfit to be judged, other classes, an unknown metric or reference.
    """
    names = [system.name for system in systems]
    check_reference(settings.reference, names)
    first = systems[0]
    systems = [first, *(each.with_parts(with_names_of(first.parts, each.parts)) for each in systems[1:])]
    aligned = [align([system], settings.positive)[0] for system in systems]
    classes = aligned[0].tables[0].classes
    for system in aligned[1:]:
        if system.tables[0].classes != classes:
            raise ValueError(
                f"{names[0]} and {system.name} have different classes, or another of them is the positive one: "
                f"{', '.join(classes)} against {', '.join(system.tables[0].classes)}; use systems of one task"
            )
    settings = settings.with_comparison(len(classes), rates=len(classes) == 2 or bool(settings.positive))
    alone = replace(settings, compare_by=(), reference=None, endpoint=None)
    with Progress("evaluating", len(systems), percent=True):
        parts = [build_evidence([system], alone, provenance=provenance) for system in counted(systems)]
    data_sets = _data_sets(aligned, parts, settings)
    of_rules = [name for each in data_sets[0].decisions for name in each.names]
    check_metrics(settings, [*parts[0][0]["systems"][0]["metrics"], *of_rules])
    different = compare_data_sets(
        data_sets,
        settings.compare_by,
        level=settings.level,
        seed=settings.seed,
        n_draws=settings.n_draws,
        reference=settings.reference,
        endpoint=settings.endpoint,
    )
    cautions = [
        text if text.startswith(f"{name}: ") else f"{name}: {text}"
        for name, (part, _) in zip(names, parts, strict=True)
        for text in part["cautions"]
    ]
    evidence = parts[0][0]
    evidence["systems"] = [part["systems"][0] for part, _ in parts]
    evidence["cautions"] = [
        _different_images(aligned, different["classes"]),
        *draw_cautions(settings, len(systems)),
        *_calibrated_in_part(systems),
        *cautions,
    ]
    evidence["settings"]["endpoint"] = settings.endpoint.to_dict() if settings.endpoint else None
    evidence["unpaired"] = different
    return evidence, {name: rows for _, thresholds in parts for name, rows in thresholds.items()}


def _data_sets(
    systems: Sequence[System], parts: Sequence[tuple[Evidence, Thresholds]], settings: EvaluationSettings
) -> list[DataSet]:
    """Return the systems with their decisions by the rules of the headline, which all of them share."""
    blocks = [part["systems"][0] for part, _ in parts]
    rule, called = headline_rule(blocks), called_rule(blocks)
    found = []
    for system, block, (_, thresholds) in zip(systems, blocks, parts, strict=True):
        rows = mean_predictions(system.tables)
        table, decision = block["thresholds"] if rule else None, block.get("decision") if called else None
        frozen = thresholds.get(system.name, [])
        rules = system_rules(rows, table, frozen, decision, settings, system.training_prior)
        decisions, view = rules.decisions(rows), settings.binary_view(rows)
        if view is not None and rule is None and len(rows.classes) > 2:  # such metrics are of two classes alone
            decisions.append(decide_by_threshold(view, rules.at))
        found.append(DataSet(system.name, system.tables, decisions))
    return found


def _calibrated_in_part(systems: Sequence[System]) -> list[str]:
    """Return a caution where some systems' probabilities are calibrated and others' are not, by their meta data."""
    metas = {system.name: [source["meta"] for source in system.sources if source["meta"]] for system in systems}
    kinds = {name: any(meta.get("calibrator") for meta in found) for name, found in metas.items() if found}
    calibrated, raw = ([name for name, kind in kinds.items() if kind is wanted] for wanted in (True, False))
    if not calibrated or not raw:
        return []
    return [
        f"The probabilities of {', '.join(calibrated)} are calibrated, those of {', '.join(raw)} are not: differences "
        "at a threshold, and of calibration, are those of the calibrator, too. Predict all images with one model file: "
        "python -m skinlab.predict ckpt=FILE."
    ]


def _different_images(systems: Sequence[System], classes: Sequence[str]) -> str:
    """Return the sentence that says what is compared, with the groups that two systems name alike."""
    counts = ", ".join(f"{system.name} {len(system.tables[0])}" for system in systems)
    groups = [set(map(str, system.tables[0].group)) - set(map(str, system.tables[0].image_id)) for system in systems]
    shared = {name for a, b in combinations(groups, 2) for name in a & b}
    known = systems[0].tables[0].classes
    same = _different_data(systems)
    if len(classes) < 2:
        same += " No two classes have five groups in each of them, so that nothing is compared."
    elif len(classes) < len(known):
        same += f" They are compared over {', '.join(classes)}: the other classes have too few groups in one of them."
    if shared:
        same += (
            f" {quantity(len(shared), 'group', 'has')} one name in two of them (first: {min(shared)}): if "
            "they are the same lesions or patients, the intervals of the differences are too wide."
        )
    return (
        f"The systems are evaluated on different images ({counts}), so differences are unpaired: they are of the "
        f"images as much as of the systems.{same}"
    )


def _different_data(systems: Sequence[System]) -> str:
    """Return a sentence with the data sets of the systems' runs where they differ; "" else, or where one has none."""
    names = [str(system.run.config["data"].get("name") or "") if system.run else "" for system in systems]
    if not all(names) or len(set(names)) == 1:
        return ""
    named = ", ".join(f"{system.name} {name}" for system, name in zip(systems, names, strict=True))
    return f" Their data sets differ: {named}."
