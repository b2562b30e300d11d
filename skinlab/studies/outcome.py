"""What the finished runs of a study say: its evidence, its page, and the full evidence of every budget."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from skinlab.assessment.evidence_files import build_evidence, write_files
from skinlab.assessment.settings import check_asked
from skinlab.assessment.systems import System, open_run, source
from skinlab.errors import UserError
from skinlab.evaluation.alignment import align_rows
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.study import Trainings, bootstrap_trainings, study_evidence
from skinlab.files import write_text
from skinlab.json_files import read_json
from skinlab.studies.jobs import State
from skinlab.studies.plan import Cell, Job
from skinlab.studies.rows import Rows
from skinlab.tables.positive import positive_class
from skinlab.tables.predictions import read_predictions

log = logging.getLogger(__name__)


def judge(config: dict[str, Any], cells: list[Cell], rows: Rows, output: Path) -> dict[str, Any]:
    """Return what the trainings say, and write the full evidence of every budget if wanted."""
    tables = _tables(cells, output / "runs", config["positive"], rows.positive)
    by_place: dict[float, dict[str, dict[Hashable, Predictions]]] = {}
    labelled: dict[float, list[int]] = {}
    for cell, table in zip(cells, tables, strict=True):
        by_place.setdefault(cell.budget, {}).setdefault(cell.arm, {})[cell.fold, cell.seed] = table
        labelled.setdefault(cell.budget, []).append(rows.labelled(cell.budget, cell.fold, cell.seed))
    figures = list(dict.fromkeys([config["judge_by"], *config["compare_by"]]))
    draws: dict[float, dict[str, Trainings]] = {
        budget: {
            arm: bootstrap_trainings(each, figures, n_draws=config["n_draws"], seed=config["seed"])
            for arm, each in arms.items()
        }
        for budget, arms in by_place.items()
    }
    recipes = config["recipes"]
    evidence = study_evidence(
        draws,
        {budget: round(sum(each) / len(each)) for budget, each in labelled.items()},
        against={arm: recipes[arm].get("against") or [] for arm in config["arms"]},
        deciding=[arm for arm in config["arms"] if recipes[arm].get("needs_pool")],
        metrics=figures,
        judge_by=config["judge_by"],
        with_pool=[b for b in by_place if rows.has_pool(b, config["folds"][0], config["seeds"][0])],
        level=config["level"],
    )
    if config["reports"]:
        for budget in by_place:
            _write_budget(config, [cell for cell in cells if cell.budget == budget], by_place[budget], output)
    return evidence


def _tables(cells: list[Cell], runs: Path, chosen: Sequence[str] | None, positive: str | None) -> list[Predictions]:
    """Read the predictions of the test, rows in one order, the positive one of two classes last."""
    try:
        read = [read_predictions(runs / cell.job / "predictions" / "test.csv") for cell in cells]
        if positive is not None:
            name = positive_class(read[0].classes, chosen or [positive])
            read = [table.positive_last(name) for table in read]
        return align_rows(read, [cell.job for cell in cells])
    except ValueError as error:
        raise UserError(str(error)) from None


def _write_budget(
    config: dict[str, Any], cells: list[Cell], arms: Mapping[str, Mapping[Hashable, Predictions]], output: Path
) -> None:
    """Write evidence and report of one budget, the trainings of an arm side by side."""
    systems = []
    for arm, tables in arms.items():
        own = [cell for cell in cells if cell.arm == arm]
        paths = [output / "runs" / cell.job / "predictions" / "test.csv" for cell in own]
        facts = [source(path, table) for path, table in zip(paths, tables.values(), strict=True)]
        over = None if len(own) == 1 else "seed" if len(config["folds"]) == 1 else "fold"
        keys = [cell.seed for cell in own] if over == "seed" else list(range(len(own)))
        systems.append(
            System(
                arm,
                list(tables.values()),
                facts,
                over=over,
                keys=keys,
                runs=[open_run(path.parents[1]) for path in paths],
            )
        )
    place = output / "budgets" / f"{cells[0].budget:g}"
    reference = "A" if "A" in arms else None
    known = config | {"reference": reference}
    evidence, thresholds = build_evidence(systems, check_asked(config), known, "study")
    write_files(evidence, thresholds, place, config["saliency"])


def told(job: Job, state: State) -> dict[str, Any]:
    """Return what a study's file says of a run."""
    return {"command": job.command, "words": list(job.words), "images": job.images} | asdict(state)


def cautions(config: Mapping[str, Any], lost: Mapping[str, str]) -> list[str]:
    """Return what should be known before anything is concluded."""
    found = [f"{name} is missing: {reason}" for name, reason in lost.items()]
    if len(config["seeds"]) * len(config["folds"]) < 3:
        found.append("Fewer than three trainings an arm: how far luck moves an arm is hardly known.")
    if len(config["folds"]) > 1:
        found.append("Folds share most of their training images, so that their trainings are no independent ones.")
    found.append("Every arm chooses its best epoch by the validation labels, which no budget counts.")
    if config["data"]["name"] == "phantom":
        found.append("Trained on procedural images; no metric here applies to patients.")
    return found


def show(path: Path) -> None:
    """Write the page of a study's file and print its verdicts."""
    from skinlab.report.study_page import render_study  # matplotlib takes its time to import

    study: dict[str, Any] = read_json(path, "record of a study", {"verdicts": list, "cautions": list})
    write_text(path.with_name("report.html"), render_study(study))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for each in study["verdicts"]:
        console.print(f"- {each['sentence']}")
    for caution in study["cautions"]:
        console.print(f"! {caution}")
    console.print(f"report: {path.with_name('report.html')}")
