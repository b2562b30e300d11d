"""A study: what it can see, its runs, and what they say of the unlabeled pool."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from skinlab.errors import UserError, nearest
from skinlab.evaluation.comparison import in_a_sentence
from skinlab.evaluation.metrics import classification_metrics, direction
from skinlab.evaluation.power import Design, detectable
from skinlab.files import claim
from skinlab.runtime.config import compose_config, explain
from skinlab.runtime.evaluating import check_asked, made
from skinlab.runtime.resuming import is_free
from skinlab.runtime.run_directory import write_json
from skinlab.runtime.study_jobs import DONE, FAILED, STOPPED, State, command_line, read_states, run_jobs
from skinlab.runtime.study_outcome import cautions, judge, show, told
from skinlab.runtime.study_plan import Given, Plan, check_study, make_plan
from skinlab.runtime.study_rows import Rows

log = logging.getLogger(__name__)

FORMAT = 1
POWER_TABLES = 200


def study(config: dict[str, Any], given: Given | None = None) -> None:
    """Run a study, or say what it would be.

    Args:
        config: the resolved config of ``conf/study.yaml``.
        given: the command line; Hydra's own if left out.

    Raises:
        UserError: whatever a person must mend; nothing has been started then.
        SystemExit: with code 1 if a run has failed, 143 if runs were terminated only; all others have had their turn,
            and the evidence is theirs.
    """
    if config["power"]["positives"] is not None or config["power"]["negatives"] is not None:
        print(power_words(study_power(config, _asked_counts(config["power"])), _trainings(config)))
        return
    given = given or _given()
    check_study(config, given)
    check_asked(config)
    output = _output(config)
    rows = Rows(config["data"], config["folds"])
    plan = make_plan(config, given, rows, output / "runs")
    power = study_power(config, _test_counts(rows, config), len(rows.test) / max(rows.test["group"].nunique(), 1))
    if config["plan"]:
        _print_plan(plan, config, output)
        print(power_words(power, _trainings(config)))
        return
    check_words(plan)
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
    content["power"] = power | {"words": power_words(power, _trainings(config))}
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


def study_power(config: Mapping[str, Any], counts: list[int], rows_per_group: float = 1.0) -> dict[str, Any]:
    """Return what is assumed of two systems, and what such a study can see of each figure."""
    assumed = {key: config["power"][key] for key in ("auroc", "correlation", "seed_sd")}
    try:
        design = Design(counts, seeds=_trainings(config), rows_per_group=max(rows_per_group, 1.0), **assumed)
    except ValueError as error:
        raise UserError(f"power: {error}") from None
    found = detectable(design, level=config["level"], n_tables=POWER_TABLES)
    return {"assumed": asdict(design), "figures": {name: asdict(each) for name, each in found.items()}}


def power_words(power: Mapping[str, Any], trainings: int) -> str:
    """Say what a study can see.

    >>> figures = {"auroc_macro": {"expected": 0.9, "error": 0.01, "difference": 0.034}}
    >>> power_words({"assumed": {"counts": [1014, 59], "correlation": 0.85}, "figures": figures}, 1)
    '1,073 test images (1014 + 59) and 1 training an arm: 80 % power for a difference of 0.034 macro AUROC (of 0.90).'
    """
    counts = power["assumed"]["counts"]
    seen = ", ".join(
        f"{each['difference']:.3f} {in_a_sentence(name)} (of {each['expected']:.2f})"
        for name, each in power["figures"].items()
    )
    return (
        f"{sum(counts):,} test images ({' + '.join(map(str, counts))}) and {trainings} "
        f"training{'s' if trainings > 1 else ''} an arm: 80 % power for a difference of {seen}."
    )


def check_words(plan: Plan) -> None:
    """Compose the first run of each arm and stage, so that mistyped words and too few images are told at once.

    Raises:
        UserError: Hydra can't compose one, or a pretraining has less than a batch of images.
    """
    batch: dict[str, int] = {}
    for job in plan.jobs.values():
        kind = job.name.partition("_b")[0]
        if kind not in batch:
            try:
                batch[kind] = compose_config(job.command, job.words).data.batch_size
            except (HydraException, OmegaConfBaseException) as error:
                raise UserError(f"{kind}: {explain(error, job.command, job.words)}") from None
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
    return is_free(word.partition("=")[0].lstrip("+~"))


def _given() -> Given:
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    return Given(list(hydra.overrides.task), {str(key): str(value) for key, value in hydra.runtime.choices.items()})


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


def _trainings(config: Mapping[str, Any]) -> int:
    return len(config["folds"]) * len(config["seeds"])


def _print_plan(plan: Plan, config: Mapping[str, Any], output: Path) -> None:
    for job in plan.jobs.values():
        words = shlex.join(["python", *command_line(job, output / "runs", config["launcher"])[1:]])
        print(f"# {job.name}: {job.images:,} images{f', after {job.after}' if job.after else ''}\n{words}")
    for line in plan.left_out:
        print(f"# {line}")
