"""A study: what it can see, its runs, and what they say of the unlabeled pool."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skinlab.assessment.evidence_files import made
from skinlab.assessment.settings import check_asked
from skinlab.errors import UserError, nearest
from skinlab.evaluation.metric_registry import direction
from skinlab.evaluation.metrics import classification_metrics
from skinlab.files import claim, write_json
from skinlab.runs.resuming import may_differ
from skinlab.settings.invocation import Invocation
from skinlab.studies.jobs import DONE, FAILED, STOPPED, State, command_line, read_states, run_jobs
from skinlab.studies.outcome import cautions, judge, show, told
from skinlab.studies.plan import Plan, check_study, make_plan
from skinlab.studies.power import power_words, study_power, trainings
from skinlab.studies.rows import Rows

log = logging.getLogger(__name__)

FORMAT = 1


def study(config: dict[str, Any], invocation: Invocation) -> None:
    """Run a study, or say what it would be.

    Args:
        config: the resolved config of ``conf/study.yaml``.
        invocation: its overrides go to the runs.

    Raises:
        UserError: whatever a person must mend; nothing has been started then.
        SystemExit: with code 1 if a run has failed, 143 if runs were terminated only; all others have had their turn,
            and the evidence is theirs.
    """
    if config["power"]["positives"] is not None or config["power"]["negatives"] is not None:
        print(power_words(study_power(config, _asked_counts(config["power"])), trainings(config)))
        return
    check_study(config, invocation)
    check_asked(config)
    output = _output(config)
    rows = Rows(config["data"], config["folds"])
    plan = make_plan(config, invocation, rows, output / "runs")
    power = study_power(config, _test_counts(rows, config), len(rows.test) / max(rows.test["group"].nunique(), 1))
    if config["plan"]:
        _print_plan(plan, config, output)
        print(power_words(power, trainings(config)))
        return
    check_words(plan, invocation)
    with claim(output, "output"):
        _run(config, plan, power, rows, output)


def _run(config: dict[str, Any], plan: Plan, power: dict[str, Any], rows: Rows, output: Path) -> None:
    runs, path = output / "runs", output / "study.json"
    known = read_states(path)
    _check_same(plan, known, output)
    states = {name: State(seconds=known.get(name, {}).get("seconds", 0.0)) for name in plan.jobs}
    content: dict[str, Any] = {"format": FORMAT, "made": made("study", config), "finished": False}
    classes = next(iter(rows.prepared.values())).classes
    content["asked"] = {"classes": classes, "titles": {arm: config["recipes"][arm]["title"] for arm in config["arms"]}}
    content["asked"] |= {
        key: config[key] for key in ("arms", "budgets", "seeds", "folds", "judge_by", "n_draws", "level")
    }
    content["power"] = power | {"words": power_words(power, trainings(config))}
    former = {name: each for name, each in known.items() if name not in plan.jobs}

    def write(**more: Any) -> None:
        now = {name: told(job, states[name]) for name, job in plan.jobs.items()}
        write_json(path, content | {"runs": former | now} | more)

    log.info("%s", content["power"]["words"])
    run_jobs(
        plan.jobs,
        states,
        runs,
        start=lambda job: command_line(job, runs, config["launcher"]),
        n_parallel=config["jobs"],
        changed=write,
    )
    lost = {name: each.reason for name, each in states.items() if each.state != DONE}
    cells = [cell for cell in plan.cells if states[cell.job].state == DONE]
    evidence = judge(config, cells, rows, output) if cells else {"budgets": [], "differences": [], "verdicts": []}
    evidence["cautions"] = [*plan.left_out, *cautions(config, lost)]
    write(finished=not lost, **evidence)
    show(path)
    if lost:
        for name, each in states.items():
            if each.state in (FAILED, STOPPED):
                log.error("%s %s: %s (%s)", name, each.state, lost[name], output / "logs" / f"{name}.log")
        log.error("%d of %d runs are missing; the same command tries them again", len(lost), len(states))
        raise SystemExit(1 if any(each.state == FAILED for each in states.values()) else 143)


def check_words(plan: Plan, invocation: Invocation) -> None:
    """Compose the first run of each arm and stage, so that mistyped words and too few images are told at once.

    Raises:
        UserError: Hydra can't compose one, or a pretraining has less than a batch of images.
    """
    batch: dict[str, int] = {}
    for job in plan.jobs.values():
        kind = job.name.partition("_b")[0]
        if kind not in batch:
            try:
                batch[kind] = invocation.compose(job.command, job.words).data.batch_size
            except UserError as error:
                raise UserError(f"{kind}: {error}") from None
        if job.command == "pretrain" and job.rows < batch[kind]:
            raise UserError(
                f"{job.name}: its {job.rows} images are less than a batch of {batch[kind]}; say "
                f"base_pretrain=data.batch_size={job.rows} or less, a larger budget, or leave the arm out"
            )


def _check_same(plan: Plan, known: Mapping[str, Mapping[str, Any]], output: Path) -> None:
    """Refuse to go on with runs of other words."""
    for name, job in plan.jobs.items():
        then = [word for word in known.get(name, {}).get("words", job.words) if not _free(word)]
        now = [word for word in job.words if not _free(word)]
        if sorted(then) != sorted(now):
            was = next((word for word in then if word not in now), "less said")
            words = next((word for word in now if word not in then), "less said")
            raise UserError(
                f"{output} holds a study whose run {name} has {was}, now {words}; choose another output= or the former "
                "settings (more arms, seeds, folds and larger budgets may join)"
            )


def _free(word: str) -> bool:
    return may_differ(word.partition("=")[0].lstrip("+~"))


def _output(config: Mapping[str, Any]) -> Path:
    if not isinstance(config["output"], str) or not config["output"]:
        raise UserError("output= is missing: set output=DIR")
    output = Path(config["output"]).expanduser().absolute()
    if output.exists() and not output.is_dir():
        raise UserError(f"output={config['output']} is a file; name a folder")
    return output


def _asked_counts(power: Mapping[str, Any]) -> list[int]:
    counts = [power["negatives"], power["positives"]]
    if any(type(each) is not int or each < 2 for each in counts):
        raise UserError("power: give both power.positives=N and power.negatives=N, numbers of test images from 2 on")
    return counts


def _test_counts(rows: Rows, config: Mapping[str, Any]) -> list[int]:
    classes = next(iter(rows.prepared.values())).classes
    counts: list[int] = rows.test["label"].value_counts().reindex(classes, fill_value=0).tolist()
    if not sum(counts):
        raise UserError("a study is judged on a locked test, and the data has none: set data.test_fraction above 0")
    figures = [*config["compare_by"], config["judge_by"]]
    known = list(
        classification_metrics(np.full([len(classes)] * 2, 1 / len(classes)), np.arange(len(classes)), classes)
    )
    unknown = next((name for name in figures if name not in known), None)
    if unknown:
        raise UserError(f"compare_by, judge_by: {unknown} is no figure{nearest(unknown, known)}; e.g. auroc_macro")
    undirected = next((name for name in figures if direction(name) is None), None)
    if undirected:
        raise UserError(f"compare_by, judge_by: no value of {undirected} is better than another; e.g. auroc_macro")
    return [each for each in counts if each > 1]


def _print_plan(plan: Plan, config: Mapping[str, Any], output: Path) -> None:
    for job in plan.jobs.values():
        words = shlex.join(["python", *command_line(job, output / "runs", config["launcher"])[1:]])
        print(f"# {job.name}: {job.images:,} images{f', after {job.after}' if job.after else ''}\n{words}")
    for line in plan.left_out:
        print(f"# {line}")
