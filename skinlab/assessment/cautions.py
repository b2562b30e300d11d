"""Warn of what limits an evaluation: images known from training, short trainings, classes without training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skinlab.assessment.systems import Run, System
from skinlab.errors import some
from skinlab.evaluation.ensembles.pooling import scale_cautions
from skinlab.evaluation.evidence.form import TrainingOverlap
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.evaluation.evidence.system import SystemEvidence
from skinlab.evaluation.predictions import Predictions
from skinlab.report.openings import VALIDATION, is_validation
from skinlab.report.wording import limit_sentences, overlap_sentence
from skinlab.text import quantity

PUBLISHED = ("imagenet", "random", "hf-hub:")  # initial weights of a run that are no file of its own


def count_known_images(system: System) -> TrainingOverlap | None:
    """Count the images of a system that its models were trained or selected on; None where that is unknown.

    A run's validation images chose its best epoch, unless there was one epoch or the last was kept; its initial
    weights may have been trained on others.
    """
    split, n = system.sources[0]["split"], len(system.tables[0])
    found: list[Mapping[str, Any]] = [overlap for each in system.sources if (overlap := each.get("training_overlap"))]
    for run in system.runs:
        trained = int(run.metrics.get(f"init_saw_{split}") or 0)
        chosen = split == "val" and run.metrics.get("max_epochs") != 1 and run.metrics.get("monitor") != "epoch"
        found.append({"images": n, "train": trained, "val": n - trained if chosen else 0})
    if not found:
        return None
    train, val, group = (max(int(each.get(kind, 0)) for each in found) for kind in ("train", "val", "group"))
    unknown = sorted({name for each in found for name in each.get("unknown") or []})
    return {"images": n, "train": train, "val": val, "group": group, "unknown": unknown}


def evaluation_cautions(found: Sequence[tuple[System, SystemEvidence]]) -> list[str]:
    """Return the sentences about all systems of an evaluation, first one on the images that chose their best epochs."""
    chosen = [system.name for system, _ in found if is_validation(count_known_images(system))]
    of = f"all {len(found)} systems" if len(chosen) == len(found) > 3 else ", ".join(chosen)
    sentences = [f"{of}: {VALIDATION}"] if chosen else []
    for system, each in found:
        sentences += [*each.cautions, *rule_cautions(system, each), *system_cautions(system)]
    return sentences


def system_cautions(system: System) -> list[str]:
    """Return the sentences about one system, those that weigh most first."""
    known = count_known_images(system)
    found = [overlap_sentence(known)] if overlap_sentence(known) else []
    found += [text for run in system.runs for text in _run_cautions(run)]
    found += [*_shared_pretraining(system), *_unseen_classes(system), *system.cautions]
    if system.groups_from is not None:
        found.append(f"grouped as in {system.groups_from}, so that all systems share bootstrap samples.")
    if not system.runs and known is None:
        found.append("a table of predictions; how its rows were kept apart from training is not known here.")
    return [f"{system.name}: {text}" for text in dict.fromkeys(found)]


def rule_cautions(system: System, found: SystemEvidence) -> list[str]:
    """Return a sentence where the rules of a system were chosen out of fold, and it is a mean of several models."""
    if system.pooled:
        return []
    chosen_on = {f"the threshold for {each.rule}": each.chosen_on for each in found.thresholds}
    if decision := found.block["decision"]:
        chosen_on[f"the rule {decision['rule']}"] = decision["chosen_on"]
    n_models = max([len(system.runs), *(len(each["meta"].get("members") or []) for each in system.sources)])
    return [f"{system.name}: {text}" for text in scale_cautions(chosen_on, n_models)]


def prevalence_cautions(settings: EvaluationSettings, rows: Predictions) -> list[str]:
    """Return a sentence where a prevalence is set, and no class is positive."""
    if settings.prevalence is None or settings.binary_view(rows) is not None:
        return []
    return [
        f"prevalence={settings.prevalence:g} has no effect: it is the share of the positive classes, and none is "
        "named; set 'positive=[CLASS]'."
    ]


def _run_cautions(run: Run) -> list[str]:
    found = limit_sentences(run.metrics)
    if str(run.metrics.get("init_used", "")).startswith("random"):
        found.append("trained from random weights.")
    if run.config["data"].get("name") == "phantom":
        found.append("trained on procedural images; no metric here applies to patients.")
    return found


def _shared_pretraining(system: System) -> list[str]:
    """Return a sentence where trainings that count as repeats start from the same file of weights."""
    files = {str(run.metrics.get("init_used", "")) for run in system.runs}
    published = any(name.startswith(PUBLISHED) for name in files)
    if len(system.tables) < 2 or published or not 0 < len(files) < len(system.runs):
        return []
    start = f"{quantity(len(files), 'pretraining')} ({some(sorted(files))})"
    return [
        f"all {len(system.runs)} trainings start from {start}: the variation between pretrainings is not "
        "counted; skinlab.study compares at equal compute."
    ]


def _unseen_classes(system: System) -> list[str]:
    """Name the classes without training images, by the training prior beside the predictions."""
    names: dict[str, int] = {}
    table = system.tables[0]
    for source in system.sources:
        meta = source["meta"]
        shares = zip(meta.get("classes") or [], meta.get("training_prior") or [], strict=False)
        for name in (name for name, share in shares if share == 0 and name in table.classes):
            names[name] = int((table.target == table.classes.index(name)).sum())
    return [
        f"the model had no training images of {name}: {n or 'no'} {'image here is' if n == 1 else 'images here are'} "
        "of it, which it hardly can predict; "
        "the correction to the shares of these images is left out."
        for name, n in names.items()
    ]
