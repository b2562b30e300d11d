"""Run a study: arms that use unlabeled images or not, over label budgets, seeds and folds, and compare them."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from skinlab.assessment.evaluation_settings import evaluation_settings
from skinlab.assessment.evidence_files import build_evidence, complete_evidence, describe_provenance, write_pages
from skinlab.assessment.openings import log_openings, open_test
from skinlab.errors import UserError, nearest
from skinlab.evaluation.metrics.registry import direction
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.files import claim, write_json, write_text
from skinlab.json_files import read_json
from skinlab.runs.initial_weights import check_init
from skinlab.runs.resuming import may_differ
from skinlab.settings.command import Invocation
from skinlab.settings.commands.study import StudySettings
from skinlab.settings.outputs import output_folder
from skinlab.studies.controls import controls_of, missing_controls
from skinlab.studies.jobs import DONE, FAILED, STOPPED, State, command_line, read_states, run_jobs
from skinlab.studies.outcome import (
    Trained,
    budget_systems,
    compare_arms,
    read_trainings,
    run_record,
    study_cautions,
)
from skinlab.studies.plan import Cell, Plan, check_overrides, make_plan
from skinlab.studies.power import known_seed_sd, power_sentence, recorded_power, study_power
from skinlab.studies.rows import Rows
from skinlab.text import portion

log = logging.getLogger(__name__)

FORMAT = 2
NOTHING: dict[str, Any] = {"budgets": [], "differences": [], "verdicts": []}


def study(settings: StudySettings, invocation: Invocation) -> None:
    """Run a study, or print its plan or its power.

    Args:
        settings: of the command.
        invocation: its overrides go to the runs.

    Raises:
        UserError: whatever the user has to correct; nothing has been started then.
        SystemExit: with code 1 if a run has failed, 143 if runs were terminated only; all others have been run, and the
            evidence is theirs.
    """
    if settings.power.positives is not None and settings.power.negatives is not None:
        counts = [settings.power.negatives, settings.power.positives]
        print(power_sentence(study_power(settings, counts), settings.n_trainings))
        return
    if settings.output is None:
        raise UserError("output= is missing: set output=DIR")
    output = output_folder(settings.output)
    check_overrides(settings, invocation)
    rows = Rows(settings.data, settings.folds)
    plan = make_plan(settings, invocation, rows, output / "runs")
    counts = count_test_images(rows)
    check_metrics(settings, rows)
    power = plan_power(settings, rows, plan, counts, output)
    if settings.plan:
        print_plan(plan, settings, output)
        print(power["sentence"])
        return
    on_one_device = check_jobs(plan, invocation)
    for text in missing_controls(settings):
        log.warning("%s", text)
    with claim(output, "output"):
        known = read_states(output / "study.json")
        check_same(plan, known, output)
        states = {name: State(seconds=known.get(name, {}).get("seconds", 0.0)) for name in plan.jobs}
        record = describe(settings, invocation, rows, power)
        former = {name: each for name, each in known.items() if name not in plan.jobs}

        def write(**results: Any) -> None:
            now = {name: run_record(job, states[name]) for name, job in plan.jobs.items()}
            write_json(output / "study.json", record | {"runs": former | now} | results)

        log.info("%s", power["sentence"])
        run_jobs(
            plan.jobs,
            states,
            output / "runs",
            start=lambda job: command_line(job, output / "runs", settings.launcher),
            n_parallel=settings.jobs,
            changed=write,
            fork=on_one_device and settings.launcher is None,
        )
        lost = {name: each.reason for name, each in states.items() if each.state != DONE}
        finished = [cell for cell in plan.cells if states[cell.job].state == DONE]
        evidence = evaluate_trainings(finished, settings, invocation, rows, output) if finished else NOTHING
        write(finished=not lost, **evidence, cautions=[*plan.left_out, *study_cautions(settings, lost)])
        write_report(output)
    if lost:
        raise SystemExit(report_lost(states, output))


def count_test_images(rows: Rows) -> list[int]:
    """Return the test images of each class that has two or more.

    Raises:
        UserError: there is no test.
    """
    counts: list[int] = rows.test["label"].value_counts().reindex(rows.classes, fill_value=0).tolist()
    if not sum(counts):
        raise UserError("a study is evaluated on a test part, and the data has none: set data.test_fraction above 0")
    return [each for each in counts if each > 1]


def plan_power(settings: StudySettings, rows: Rows, plan: Plan, counts: list[int], output: Path) -> dict[str, Any]:
    """Return the power of the verdicts of a plan, with a sentence about it; as recorded where the study is the same."""
    if (recorded := recorded_power(output / "study.json", settings, plan.jobs)) is not None:
        return recorded
    fold, seed = settings.folds[0], settings.seeds[0]
    every = max(rows.labelled(1.0, fold, seed), 1)
    power = study_power(
        settings,
        counts,
        len(rows.test) / max(rows.test["group"].nunique(), 1),
        trained={(cell.arm, cell.budget) for cell in plan.cells},
        shares={budget: rows.labelled(budget, fold, seed) / every for budget in settings.budgets},
        known_sd=known_seed_sd(output / "study.json"),
    )
    return power | {"sentence": power_sentence(power, settings.n_trainings)}


def check_metrics(settings: StudySettings, rows: Rows) -> None:
    """Refuse what is no metric of the data, or has no direction.

    Raises:
        UserError: ``compare_by`` or ``judge_by`` names such.
    """
    n = len(rows.classes)
    known = list(classification_metrics(np.full([n] * 2, 1 / n), np.arange(n), rows.classes))
    for name in settings.metrics:
        if name not in known:
            raise UserError(
                f"compare_by, judge_by, endpoint: {name} is no metric{nearest(name, known)}; e.g. auroc_macro"
            )
        if direction(name) is None:
            raise UserError(f"compare_by, judge_by, endpoint: {name} has no better direction; e.g. auroc_macro")


def check_jobs(plan: Plan, invocation: Invocation) -> bool:
    """Compose the first run of each arm and stage, to refuse mistyped overrides, missing weights and too few images.

    Returns:
        Whether each of them trains on one device.

    Raises:
        UserError: an override or ``model.init`` of one is wrong, or a pretraining has less than a batch of images.
    """
    batch: dict[str, int] = {}
    on_one_device = True
    for job in plan.jobs.values():
        kind = job.name.partition("_b")[0]
        if kind not in batch:
            try:
                run = invocation.compose(job.command, job.overrides)
                if not (job.after and job.after in run.model.init):  # weights that an earlier run of the study makes
                    check_init(run.model, run.data.fold)
                batch[kind] = run.data.batch_size
                on_one_device = on_one_device and run.trainer.devices == 1
            except UserError as error:
                raise UserError(f"{kind}: {error}") from None
        if job.command == "pretrain" and job.rows < batch[kind]:
            raise UserError(
                f"{job.name}: its {job.rows} images are less than a batch of {batch[kind]}; set "
                f"base_pretrain=data.batch_size={job.rows} or less, a larger budget, or leave the arm out"
            )
    return on_one_device


def check_same(plan: Plan, known: Mapping[str, Mapping[str, Any]], output: Path) -> None:
    """Refuse to go on with runs of other overrides.

    Raises:
        UserError: the study in the folder has such runs.
    """
    for name, job in plan.jobs.items():
        then = [each for each in known.get(name, {}).get("overrides", job.overrides) if not _may_differ(each)]
        now = [each for each in job.overrides if not _may_differ(each)]
        if sorted(then) != sorted(now):
            former = next((each for each in then if each not in now), "fewer overrides")
            current = next((each for each in now if each not in then), "fewer overrides")
            raise UserError(
                f"{output} holds a study whose run {name} has {former}, now {current}; choose another output= or the "
                "former settings (more arms, seeds, folds and larger budgets may join)"
            )


def _may_differ(override: str) -> bool:
    return may_differ(override.partition("=")[0].lstrip("+~"))


def print_plan(plan: Plan, settings: StudySettings, output: Path) -> None:
    """Print the command of every run, and what is left out."""
    for job in plan.jobs.values():
        command = shlex.join(["python", *command_line(job, output / "runs", settings.launcher)[1:]])
        print(f"# {job.name}: {job.images:,} images{f', after {job.after}' if job.after else ''}\n{command}")
    for line in [*plan.left_out, *missing_controls(settings)]:
        print(f"# {line}")


def describe(settings: StudySettings, invocation: Invocation, rows: Rows, power: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the study's file says before the first run."""
    keys = ("arms", "budgets", "seeds", "folds", "n_draws", "level")
    return {
        "format": FORMAT,
        "provenance": describe_provenance(invocation.command, settings.dump()),
        "finished": False,
        "settings": {
            "classes": rows.classes,
            "titles": {arm: settings.recipes[arm].title for arm in settings.arms},
            "judge_by": settings.primary,
            "controls": {arm: controls_of(settings.recipes[arm]).at(has_pool=True) for arm in settings.arms},
            **{key: getattr(settings, key) for key in keys},
        },
        "power": dict(power),
    }


def evaluate_trainings(
    cells: list[Cell], settings: StudySettings, invocation: Invocation, rows: Rows, output: Path
) -> dict[str, Any]:
    """Return the comparison of the arms, and write the full evidence of every budget if wanted."""
    trained = read_trainings(cells, output / "runs", settings.positive, rows.positive)
    evidence = compare_arms(settings, trained, rows)
    runs = [output / "runs" / cell.job for cell, _ in trained]
    log_openings(runs, "study", invocation.command, output, once=True)
    if settings.reports:
        write_budgets(settings, invocation, trained, output)
    return evidence


def write_budgets(settings: StudySettings, invocation: Invocation, trained: Trained, output: Path) -> None:
    """Write evidence and report of every budget."""
    provenance = describe_provenance(invocation.command, settings.dump())
    for budget in dict.fromkeys(cell.budget for cell, _ in trained):
        axis = "seed" if len(settings.folds) == 1 else "fold"
        systems = budget_systems(trained, budget, output / "runs", replicate_axis=axis)
        reference = "A" if any(system.name == "A" for system in systems) else None
        evaluation = replace(evaluation_settings(settings), compare_by=settings.compare_by, reference=reference)
        evidence, thresholds = build_evidence(systems, evaluation, provenance=provenance)
        open_test(evidence, systems, "study", output, once=True)
        folder = output / "budgets" / f"{budget:g}"
        write_pages(evidence, thresholds, folder, settings.saliency)
        complete_evidence(evidence, folder)


def write_report(output: Path) -> None:
    """Write the page of a study's file and print its verdicts."""
    from skinlab.report.study_page import render_study  # matplotlib takes its time to import

    content: dict[str, Any] = read_json(
        output / "study.json", "record of a study", {"verdicts": list, "cautions": list}
    )
    write_text(output / "report.html", render_study(content))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for each in content["verdicts"]:
        console.print(f"- {each['sentence']}")
    for caution in content["cautions"]:
        console.print(f"! {caution}")
    console.print(f"report: {output / 'report.html'}")


def report_lost(states: Mapping[str, State], output: Path) -> int:
    """Log the runs that are missing, and return the exit code."""
    for name, each in states.items():
        if each.state in (FAILED, STOPPED):
            log.error("%s %s: %s (%s)", name, each.state, each.reason, output / "logs" / f"{name}.log")
    n_lost = sum(each.state != DONE for each in states.values())
    log.error("%s missing; the same command tries again", portion(n_lost, len(states), "run", "is"))
    return 1 if any(each.state == FAILED for each in states.values()) else 143
