"""Evidence of systems, and the files that it is written to."""

from __future__ import annotations

import datetime
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from skinlab.assessment.cautions import seen_here, system_cautions
from skinlab.assessment.mistakes import add_saliency
from skinlab.assessment.systems import System, align
from skinlab.errors import nearest
from skinlab.evaluation import evidence_form
from skinlab.evaluation.bootstrap import BootstrapSamples
from skinlab.evaluation.comparison import compare
from skinlab.evaluation.evidence import FORMAT, EvaluationSettings, SystemEvidence, system_evidence
from skinlab.evaluation.evidence_form import Evidence, Made, Mistake, Source
from skinlab.evaluation.evidence_parts import row_cautions
from skinlab.files import claim, write_json, write_text
from skinlab.report.terminal import print_evidence
from skinlab.settings.secrets import masked
from skinlab.tables.csv_files import read_csv

log = logging.getLogger(__name__)

PAGES = ("report.html", "model_card.md")
VERSIONS = ("skinlab", "numpy", "pandas", "scikit-learn", "scipy")
THUMBNAIL_SIDE = 240  # pixels of the longer side of the report's images


def build_evidence(
    systems: Sequence[System], asked: EvaluationSettings, config: dict[str, Any], command: str = "evaluate"
) -> tuple[Evidence, dict[str, Any]]:
    """Return the evidence of all systems with their comparisons, and the thresholds of each for a file.

    Raises:
        ValueError: rows unfit to be judged, or systems whose rows differ.
    """
    systems = align(systems, asked.positive)
    names, classes = [system.name for system in systems], systems[0].tables[0].classes
    if config["reference"] not in (None, *names):
        hint = nearest(str(config["reference"]), names)
        raise ValueError(f"reference={config['reference']} is none of the systems {', '.join(names)}{hint}")
    blocks: list[evidence_form.System] = []
    draws: list[tuple[str, BootstrapSamples]] = []
    thresholds: dict[str, Any] = {}
    cautions = row_cautions(systems[0].tables[0]) + _draw_cautions(len(systems), config)
    for system in systems:
        found = _evaluate(system, asked)
        blocks.append(
            {
                "init_used": system.run.metrics.get("init_used") if system.run else None,
                "groups_from": system.groups_from,
                "sources": cast("list[Source]", system.sources),
                "seen": seen_here(system),
                **found.block,
            }
        )
        draws.append((system.name, found.samples))
        cautions += found.cautions + system_cautions(system)
        if found.thresholds:
            thresholds[system.name] = [each.to_dict() for each in found.thresholds]
    evidence: Evidence = {
        "format": FORMAT,
        "asked": {
            "classes": classes,
            "positive": config["positive"] or (classes[1:] if len(classes) == 2 else None),
            "prevalence": config["prevalence"],
            "cost_ratio": config["cost_ratio"],
            "n_draws": config["n_draws"],
            "level": config["level"],
            "seed": config["seed"],
        },
        "made": made(command, config),
        "systems": blocks,
        "comparisons": [
            each.to_dict(asked.level)
            for each in compare(draws, _known(config["compare_by"], draws), asked.level, config["reference"])
        ],
        "cautions": cautions,
    }
    return evidence, thresholds


def _evaluate(system: System, settings: EvaluationSettings) -> SystemEvidence:
    split = system.sources[0]["split"]
    found = system_evidence(
        system.name,
        system.tables,
        settings,
        selection=system.selection,
        over=system.over,
        keys=system.keys,
        pooled=system.pooled,
        names=("out of fold" if system.pooled else split, "val"),
        training_prior=system.training_prior,
    )
    _add_paths(found.block["worst"], system)
    return found


def _known(metrics: Sequence[str], draws: Sequence[tuple[str, BootstrapSamples]]) -> Sequence[str]:
    """Return the names of metrics as they are, once each is one."""
    known = list(draws[0][1].estimate)
    for name in metrics:
        if name not in known:
            raise ValueError(f"compare_by: {name} is no metric{nearest(name, known)}; e.g. pr_auc_macro")
    return metrics


def write_evidence(
    evidence: Evidence, thresholds: dict[str, Any], output: Path, before: Callable[[], None] = lambda: None
) -> None:
    """Write the evidence of a command, send it to W&B if asked to, and show the headline.

    Args:
        evidence: of the command.
        thresholds: of the systems; may be none.
        output: folder to write.
        before: writes what else the command leaves, once only the disk can still fail.
    """
    config = evidence["made"]["config"]

    def write_others() -> None:
        before()
        if config["wandb"]:
            from skinlab.tracking.wandb_evidence import log_evidence  # W&B takes its time to import

            log_evidence(evidence, output)

    with claim(output, "output"):
        write_files(evidence, thresholds, output, config["saliency"], write_others)
    print_evidence(evidence)
    log.info("written: %s", output)


def write_files(
    evidence: Evidence,
    thresholds: dict[str, Any],
    output: Path,
    saliency: Any,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Write the pages, the thresholds if there are any, and last the evidence, by which a folder counts as complete."""
    pages = _render_pages(add_saliency(evidence, saliency))
    for name, text in pages.items():
        write_text(output / name, text)
    if thresholds:
        write_json(output / "thresholds.json", thresholds)
    else:
        (output / "thresholds.json").unlink(missing_ok=True)  # of an earlier evaluation
    before()
    write_json(output / "evidence.json", evidence)


def made(command: str, config: dict[str, Any]) -> Made:
    """Return how something is being made: the command as typed, its config, versions, and the day."""
    return {
        "command": masked(shlex.join(["python", "-m", f"skinlab.{command}", *sys.argv[1:]])),
        "config": config,
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


def _draw_cautions(n_systems: int, config: dict[str, Any]) -> list[str]:
    """Warn where so few bootstrap samples can't give a small enough p."""
    n_pairs = n_systems - 1 if config["reference"] else n_systems * (n_systems - 1) // 2
    n_comparisons = n_pairs * len(config["compare_by"])
    if n_comparisons * 2 / (config["n_draws"] + 1) <= 1 - config["level"]:
        return []
    return [
        f"{config['n_draws']} bootstrap samples can't give {n_comparisons} comparisons a p under "
        f"{1 - config['level']:.2g} after Holm's correction: raise n_draws, name a reference, or compare "
        "by fewer metrics."
    ]


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
    """Return image_id → JPEG of the worst mistakes' images that are there; one that can't be read costs a warning."""
    from skinlab.data.images import BadImage, read_jpeg

    images = {}
    for system in evidence["systems"]:
        for each in system["worst"]:
            if each["path"] and Path(each["path"]).is_file():
                try:
                    images[each["image_id"]] = read_jpeg(each["path"], THUMBNAIL_SIDE)
                except BadImage as error:
                    log.warning("the report shows %s without its image: %s", each["image_id"], error)
    return images
