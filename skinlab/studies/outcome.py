"""The comparison of the arms of a study from the predictions of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skinlab.assessment.sources import source
from skinlab.assessment.systems import System, open_run
from skinlab.errors import user_errors
from skinlab.evaluation.ensembles.alignment import align_rows
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.study import bootstrap_trainings, name_share, study_evidence
from skinlab.evaluation.statistics.trainings import overlap_of_folds
from skinlab.processes.progress import track
from skinlab.settings.commands.study import StudySettings
from skinlab.studies.controls import controls_of, missing_controls
from skinlab.studies.jobs import State
from skinlab.studies.plan import Cell, Job
from skinlab.studies.rows import Rows
from skinlab.tables.positive import positive_class
from skinlab.tables.predictions import read_predictions

Trained = list[tuple[Cell, Predictions]]  # each training with its predictions of the test


def read_trainings(cells: Sequence[Cell], runs: Path, chosen: Sequence[str] | None, positive: str | None) -> Trained:
    """Read the predictions of the test, rows in one order, the positive one of two classes last.

    Args:
        cells: the trainings.
        runs: folder of the runs.
        chosen: positive classes that the user names.
        positive: the positive one of two classes of the data; None of more.

    Raises:
        UserError: predictions are missing or damaged, or not of the same images.
    """
    with user_errors():
        tables = [read_predictions(predictions_path(cell, runs)) for cell in cells]
        if positive is not None:
            name = positive_class(tables[0].classes, chosen or [positive])
            tables = [table.positive_last(name) for table in tables]
        return list(zip(cells, align_rows(tables, [cell.job for cell in cells]), strict=True))


def predictions_path(cell: Cell, runs: Path) -> Path:
    """Return where the test predictions of a training are."""
    return runs / cell.job / "predictions" / "test.csv"


def compare_arms(settings: StudySettings, trained: Trained, rows: Rows) -> dict[str, Any]:
    """Return the metrics of every arm at every budget, their differences and the verdicts."""
    budgets = list(dict.fromkeys(cell.budget for cell, _ in trained))
    draws, n_labelled = {}, {}
    for budget in budgets:
        cells = [cell for cell, _ in trained if cell.budget == budget]
        labelled = [rows.labelled(budget, cell.fold, cell.seed) for cell in cells]
        n_labelled[budget] = round(sum(labelled) / len(labelled))
        arms = list(dict.fromkeys(cell.arm for cell in cells))
        draws[budget] = {
            arm: bootstrap_trainings(
                {(cell.fold, cell.seed): table for cell, table in trained if (cell.budget, cell.arm) == (budget, arm)},
                settings.metrics,
                n_draws=settings.n_draws,
                seed=settings.seed,
                overlap=overlap_of_folds(settings.folds, settings.data.n_folds),
            )
            for arm in track(arms, f"comparing arms with {name_share(budget)}", len(arms))
        }
    return study_evidence(
        draws,
        n_labelled,
        controls={arm: controls_of(settings.recipes[arm]) for arm in settings.arms},
        metrics=settings.metrics,
        judge_by=settings.primary,
        with_pool=[budget for budget in budgets if rows.has_pool(budget, settings.folds[0], settings.seeds[0])],
        level=settings.level,
    )


def budget_systems(trained: Trained, budget: float, runs: Path, *, replicate_axis: str) -> list[System]:
    """Return the arms at one budget as systems, the trainings of an arm side by side.

    Args:
        trained: all trainings.
        budget: of the systems.
        runs: folder of the runs.
        replicate_axis: what tells the trainings of an arm apart, ``seed`` or ``fold``.
    """
    at_budget = [(cell, table) for cell, table in trained if cell.budget == budget]
    systems = []
    place = {key: i for i, key in enumerate(sorted({(cell.fold, cell.seed) for cell, _ in trained}))}
    for arm in dict.fromkeys(cell.arm for cell, _ in at_budget):
        own = [(cell, table) for cell, table in at_budget if cell.arm == arm]
        systems.append(
            System(
                arm,
                [table for _, table in own],
                [source(predictions_path(cell, runs), table) for cell, table in own],
                replicate_axis=replicate_axis if len(own) > 1 else None,
                replicate_ids=[
                    cell.seed if replicate_axis == "seed" else place[cell.fold, cell.seed] for cell, _ in own
                ],
                runs=[open_run(runs / cell.job) for cell, _ in own],
            )
        )
    return systems


def run_record(job: Job, state: State) -> dict[str, Any]:
    """Return the record of a run in the study's file."""
    return {"command": job.command, "overrides": list(job.overrides), "images": job.images} | asdict(state)


def study_cautions(settings: StudySettings, lost: Mapping[str, str]) -> list[str]:
    """Return what should be known before anything is concluded.

    Args:
        settings: of the study.
        lost: name of a run that is missing → reason.
    """
    found = [f"{name} is missing: {reason}" for name, reason in lost.items()] + missing_controls(settings)
    if settings.n_trainings < 3:
        found.append("Fewer than three trainings an arm: how far luck moves an arm is hardly known.")
    if len(settings.folds) > 1:
        found.append(
            "Folds share most of their training images, so that their trainings are no independent ones: the variance "
            "between trainings is enlarged (Nadeau and Bengio, 2003)."
        )
    found.append("Every arm chooses its best epoch by the validation labels, which no budget counts.")
    if settings.data.name == "phantom":
        found.append("Trained on procedural images; no metric here applies to patients.")
    return found
