"""Refuse paths that lead nowhere and a monitor that is no metric, before torch is imported and data is read."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from skinlab.errors import UserError, nearest, no_data_folder
from skinlab.settings.base import Settings
from skinlab.settings.output_checks import wrong_outputs
from skinlab.settings.part import build
from skinlab.settings.recorded import how_to_finish, is_pretraining, recorded_data, unfinished_pretraining

# Settings that name what exists already, one or several, and what is to be given.
INPUTS = {
    "ckpt": "give a run, a sweep, a checkpoint or a bundle",
    "runs": "give run directories, folders of runs or predictions tables",
    "predictions": "give a predictions table or a run directory",
    "input": "give a folder, a CSV or an image",
    "check": "give the file to submit",
    "sample": "give the challenge's sample submission",
    "labels": "give the path of an existing table",
    "metadata": "give the path of an existing table",
    "truth": "give the path of an existing table",
    "apply_thresholds": "give thresholds.json of an evaluation",
    "apply_decision": "give decision.json of an evaluation",
    "data.labels": "give the path of an existing table",
    "data.exclude": "give the path of an existing table",
    "artefacts": "give the path of an existing table",
    "data.artefacts": "give the path of an existing table",
}
OF_RUNS = ("ckpt", "runs", "predictions")
BELOW_ROOT = ("data.table", "data.groups")  # or relative to the current folder
WEIGHTS = (".ckpt", ".safetensors", ".pt", ".pth", ".bin")
USUAL_RULE = re.compile(r"f1|cost|(sensitivity|specificity)>=0?\.\d+")
GENERATED = ("phantom",)  # data sets that are made where they are missing
OWN = ("folder", "table", "shards", "images")  # data sets that nothing can fetch
READING = ("train", "pretrain", "audit", "study")  # the commands that read data.root in any case


def check_early(command: str, settings: Settings) -> None:
    """Refuse settings that can't be right whatever the data are.

    Args:
        command: its name.
        settings: of the command.

    Raises:
        UserError: one line that names all of them.
    """
    lines = [*_missing(command, settings), *wrong_outputs(command, settings), *_unknown_rules(command, settings)]
    lines += [*_unknown_decision(settings), *_unknown_metrics(settings)]
    if command == "train":
        lines += _unknown_monitor(settings)
    lines = lines or [*_table_columns(command, settings)]
    if lines:
        raise UserError("; ".join(lines))


def check_readable(command: str, settings: Settings) -> None:
    """Run the reader of the data, which opens no image, before the first of several jobs is started.

    Args:
        command: its name.
        settings: of the first job.

    Raises:
        UserError: the reader refuses the data.
    """
    if command in READING and settings.find("data.name") not in GENERATED and not _is_finished(settings):
        build(settings.find("data.reader"))()


def _unknown_rules(command: str, settings: Settings) -> Iterator[str]:
    """Yield the mistake of each rule for thresholds that is none; a file of thresholds is checked when it is read."""
    name = "threshold" if command == "predict" else "evidence.thresholds" if command == "train" else "thresholds"
    value = settings.find(name)
    rules = value if isinstance(value, list) else [value] if command == "predict" and isinstance(value, str) else []
    rules = [rule for rule in rules if not USUAL_RULE.fullmatch(rule)]
    if not rules:
        return
    from skinlab.evaluation.thresholds.choice import parse_rule  # importing pandas takes a moment

    for rule in rules:
        try:
            parse_rule(rule)
        except ValueError as error:
            yield f"{name}={rule}: {error}"


def _unknown_decision(settings: Settings) -> Iterator[str]:
    """Yield the mistake of an evaluation's rule for the called class that is none."""
    for group in ("", "evidence."):
        rule = settings.find(f"{group}decide")
        if settings.find(f"{group}decide_by") is None or rule in (None, "argmax") or rule.endswith(".json"):
            continue  # a file is checked when it is read
        from skinlab.evaluation.thresholds.decision import parse_decision  # importing pandas takes a moment

        try:
            parse_decision(rule)
        except ValueError as error:
            yield f"{group}{error}"


def _unknown_metrics(settings: Settings) -> Iterator[str]:
    """Yield the mistake of each metric to compare by that no data have; one of a class is checked with the data."""
    for name in ("compare_by", "judge_by", "endpoint", "evidence.endpoint"):
        value = settings.find(name) or []
        metrics = [value] if isinstance(value, str) else value
        if not metrics:
            continue
        from skinlab.evaluation.metrics.registry import METRICS, find_metric  # importing pandas takes a moment

        for metric in metrics:
            if find_metric(metric) is None:
                yield f"{name}={metric} is no metric{nearest(metric, [each.name for each in METRICS])}"


def _unknown_monitor(settings: Settings) -> Iterator[str]:
    """Yield the mistake of a monitor that no training has; a name of a class is checked when the table is read."""
    monitor = str(settings.find("callbacks.monitor"))
    metric = monitor.removeprefix("val/")
    if monitor == "val/loss":
        return
    from skinlab.evaluation.metrics.registry import reported_metrics  # importing pandas takes a moment

    names = list(reported_metrics(["CLASS", "0"], epoch=True))
    whole = ["loss", *(name for name in names if "/" not in name)]
    of_class = [name.partition("/")[0] for name in names if name.endswith("/CLASS")]
    known = metric in whole or (metric.partition("/")[0] in of_class and metric.partition("/")[2])
    if not known or metric == monitor:
        hint = _nearest_metric(metric, whole, of_class).replace("mean ", "mean val/")
        there = ", ".join(f"val/{name}" for name in [*whole, *(f"{name}/CLASS" for name in of_class)])
        yield f"callbacks.monitor={monitor}: no such metric{hint}; there are {there}"


def _nearest_metric(metric: str, whole: Sequence[str], of_class: Sequence[str]) -> str:
    """Return a hint with the closest metric of all classes or of a single one.

    >>> _nearest_metric("f1_mel", ["f1_macro"], ["f1"]), _nearest_metric("f1_macr", ["f1_macro"], ["f1"])
    (' (did you mean f1/mel?)', ' (did you mean f1_macro?)')
    >>> _nearest_metric("recal/mel", ["f1_macro"], ["recall"])
    ' (did you mean recall/mel?)'
    """
    name, slash, label = metric.partition("/")
    if slash:
        return nearest(name, of_class).replace("?)", f"/{label or 'CLASS'}?)")
    same = [each for each in of_class if metric.startswith(f"{each}_")]
    if same and not difflib.get_close_matches(metric, whole, cutoff=0.8):
        return nearest(max(same, key=len), same).replace("?)", f"/{metric[len(max(same, key=len)) + 1 :]}?)")
    return nearest(metric, whole)


def _missing(command: str, settings: Settings) -> Iterator[str]:
    for name, remedy in INPUTS.items():
        value = settings.find(name)
        for place in value if isinstance(value, list) else [value]:
            if isinstance(place, str) and not _exists(place):
                yield f"{name}={place}: no such file or folder; {remedy}"
            elif isinstance(place, str) and name in OF_RUNS and (why := _without_predictions(Path(place).expanduser())):
                yield f"{name}={place}: {why}"
    init = settings.find("model.init")
    if isinstance(init, str) and init.endswith(WEIGHTS) and not init.startswith("hf-hub:") and not _exists(init):
        yield (
            f"model.init={init}: no such file; give auto, imagenet, random, a run (such as a pretraining's folder), a "
            "weights file or hf-hub:OWNER/NAME"
        )
    if isinstance(init, str) and (why := unfinished_pretraining(Path(init).expanduser())):
        yield f"model.init={init}: {why}"
    if command in READING and not _is_finished(settings):
        resume = settings.find("resume")
        if isinstance(resume, str) and resume not in ("auto", "never") and not _exists(resume):
            yield f"resume={resume}: no such file; give auto, never or a checkpoint, such as RUN/checkpoints/last.ckpt"
        yield from _missing_data(settings)
    if command == "submit" and settings.find("sample") is None:
        yield from _missing_test(settings)


def _missing_test(settings: Settings) -> Iterator[str]:
    """Yield that the data of a submission's test images are not set or not there."""
    if settings.find("data.name") not in GENERATED or settings.find("data.layout") == "dsm2025":
        yield from _missing_data(settings)
        return
    place = settings.find("predictions")
    data = None if place is None else recorded_data(Path(place).expanduser())
    remedy = f"set {data}, the data of predictions={place}" if data else "set data=NAME data.root=DIR"
    yield f"the test images are not known: {remedy}, or sample=SAMPLE_SUBMISSION.csv"


def _without_predictions(place: Path) -> str:
    """Return why a run directory has no predictions; "" for a finished training, and for anything else."""
    if not (place / "config.yaml").is_file():
        return ""
    if not (place / "metrics.json").exists():
        best = " or give checkpoints/best.ckpt in it to a command with ckpt="
        return how_to_finish(place) + (f",{best}" if (place / "checkpoints" / "best.ckpt").is_file() else "")
    if not is_pretraining(place):
        return ""
    words = ["python", "-m", "skinlab.train", f"model.init={place}", "finetune=lp_ft"]
    return f"a pretraining predicts no classes; fine-tune it: {shlex.join(words)}"


def _missing_data(settings: Settings) -> Iterator[str]:
    root: Any = settings.find("data.root")
    if root is None or settings.find("data.name") in GENERATED:
        return
    if not Path(root).expanduser().is_dir():
        name = settings.find("data.name")
        if name in OWN or not str(settings.find("data.reader.target")).startswith("skinlab."):
            yield from no_folder(root)
            return
        yield no_data_folder(root, name)
        return
    for name in BELOW_ROOT:
        place = settings.find(name)
        if place and not any(Path(each).expanduser().is_file() for each in (place, f"{root}/{place}")):
            found = [] if Path(place).is_absolute() else Path(root).expanduser().glob(f"*/{place}")
            below = next((each for each in found if each.is_file()), None)
            remedy = f"set data.root={below.parents[len(Path(place).parts) - 1]}" if below else "give its path"
            yield f"{name}={place}: no such file, nor below data.root={root}; {remedy}"


def _table_columns(command: str, settings: Settings) -> Iterator[str]:
    """Yield the mistake of a table of data without a column of images, of which only the header is read."""
    table, root = settings.find("data.table"), settings.find("data.root")
    if command not in READING or not table or settings.find("data.name") != "table" or _is_finished(settings):
        return
    from skinlab.tables.csv_files import read_header  # importing pandas takes a moment
    from skinlab.tables.image_columns import check_image_column

    place = Path(table).expanduser()
    place = place if place.is_file() else Path(root).expanduser() / table
    if header := read_header(place):  # another table is refused when it is read
        try:
            check_image_column(header, settings.find("data.columns") or {}, place)
        except UserError as error:
            yield str(error)


def no_folder(root: str) -> Iterator[str]:
    """Yield the mistake of the ``data.root`` of data of one's own, where it is no folder."""
    if not Path(root).expanduser().is_dir():
        yield f"data.root={root} is not a folder: set data.root=DIR, the folder that holds the images"


def _is_finished(settings: Settings) -> bool:
    """Return whether the results are there already, which does not take the data."""
    run_dir = settings.find("run_dir")
    return run_dir is not None and (Path(run_dir) / "metrics.json").is_file()


def _exists(place: str) -> bool:
    return Path(place).expanduser().exists()
