"""Continue a run: find its checkpoint, check its settings, and return the metrics of a finished run."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from skinlab.errors import UserError
from skinlab.json_files import NUMBER, Keys, form_fault, read_json
from skinlab.models.weights import find_checkpoint, read_checkpoint
from skinlab.processes.later import leaves_pages
from skinlab.runs.preparation import prepare_data
from skinlab.settings.base import is_among, names_that_may_differ
from skinlab.settings.commands.pretrain import PretrainSettings
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.groups import SslSettings
from skinlab.settings.recorded import holds_run, is_finished, leaves, read_recorded
from skinlab.settings.run import RunSettings
from skinlab.text import quantity

log = logging.getLogger(__name__)
Run = TypeVar("Run", bound=RunSettings)

EPOCHS = "trainer.max_epochs"
REQUEUED = "requeue.ckpt"  # in mid-epoch, while the job that wrote it starts again
# What is read of the metrics of a finished run.
FINISHED: Keys = {"max_epochs": NUMBER, "best/monitor": NUMBER, "best/epoch": NUMBER, "init_used": str}
# What a checkpoint must have for a training to continue from it.
NOT_EMPTY: Keys = {"state_dict": dict, "loops": dict, "callbacks": dict, "optimizer_states": list}
RESTORED: Keys = {"epoch": int, "global_step": int, "lr_schedulers": list, **NOT_EMPTY}


def may_differ(name: str) -> bool:
    """Return whether a setting may differ between two parts of a run, as it is declared on its field.

    >>> may_differ("logger.wandb.project"), may_differ("data.num_workers"), may_differ("trainer.precision")
    (True, True, False)
    """
    return any(is_among(name, names_that_may_differ(model, "resumed")) for model in (TrainSettings, PretrainSettings))


def with_run_id(settings: Run, run_dir: Path) -> Run:
    """Return the settings with the run's id: the recorded one where a run is continued, else a new one.

    A run that is continued keeps what ``model.compile=auto`` decided when it began.

    Raises:
        UserError: the directory holds a run with other settings, or one that ``resume=never`` would overwrite.
    """
    if not holds_run(run_dir):
        return settings.updated({"run_id": secrets.token_hex(4)})
    if settings.resume == "never":
        raise UserError(f"resume=never: {run_dir} already holds a run; choose another hydra.run.dir")
    recorded = read_recorded(run_dir)
    check_same(settings.dump(), recorded, run_dir)
    log.info("%s holds a run, which is continued with the settings of its config.yaml", run_dir)
    kept = {"run_id": recorded["run_id"]}
    if settings.model.compile == "auto":
        kept["model.compile"] = recorded["model"]["compile"]
    return settings.updated(kept)


def check_same(now: Mapping[str, Any], then: Mapping[str, Any], run: Path) -> None:
    """Refuse to continue a run with other settings, see :func:`may_differ`; the number of epochs may be raised.

    Args:
        now: the settings, as plain containers.
        then: those that the run recorded.
        run: its directory.

    Raises:
        UserError: settings differ that decide the weights or the record.
    """
    values, former = dict(leaves(now)), dict(leaves(then))
    if all(each["model.freeze_epochs"] >= each[EPOCHS] for each in (values, former)):  # frozen throughout, however long
        former["model.freeze_epochs"] = values["model.freeze_epochs"]
    if values[EPOCHS] > former[EPOCHS]:
        former[EPOCHS] = values[EPOCHS]
    differing = []
    for name in sorted(values.keys() | former.keys()):
        value, other = values.get(name), former.get(name)
        same = type(value) is type(other) and value == other  # limit_train_batches: 1 is one batch, 1.0 all of them
        if not same and not may_differ(name):
            differing.append(f"{name}={other}, now it is {value}")
    if differing:
        raised = "; the number of epochs may be raised, not lowered" if values[EPOCHS] < former[EPOCHS] else ""
        raise UserError(
            f"{run} holds a run with {', and '.join(differing)}{raised}; choose another hydra.run.dir or the "
            "former settings"
        )


def finished_metrics(settings: RunSettings, run_dir: Path) -> dict[str, Any] | None:
    """Return the metrics of a run that has finished all its epochs, else None.

    Raises:
        UserError: its images or labels have changed since.
    """
    path = run_dir / "metrics.json"
    if not is_finished(run_dir):
        return None
    remedy = "delete it to score the run again"
    metrics: dict[str, Any] = read_json(path, "metrics of a run", FINISHED, remedy=remedy)
    for name, value in metrics.items():
        if name.startswith(("val/", "test/")) and not isinstance(value, (*NUMBER, type(None))):
            raise UserError(f"{path} is damaged (its {name} is a {type(value).__name__}); {remedy}")
    if metrics["max_epochs"] < settings.trainer.max_epochs:
        return None
    if leaves_pages(run_dir):  # they are made next, as the end of the same training
        return metrics
    try:
        now = prepare_data(settings.data).split_hash
    except UserError as error:  # a finished run outlives its data
        log.warning("whether the data is still that of %s is not known: %s", run_dir, error)
    else:
        check_split("auto", run_dir, now)
    log.info("%s is finished; raise trainer.max_epochs to go on, or choose another hydra.run.dir", run_dir)
    return metrics


def check_split(resume: str, run_dir: Path, split_hash: str) -> None:
    """Refuse to continue a run on other images or labels: its tables may have changed.

    Args:
        resume: as for :func:`find_resume`.
        run_dir: of this run.
        split_hash: of the data as it is now.

    Raises:
        UserError: the run that the checkpoint lies in had another split.
    """
    path = _resume_file(resume, run_dir)
    run = None if path is None else path.absolute().parent.parent
    if run is None or not (run / "audit.json").exists():
        return
    remedy = "restore it, or choose another hydra.run.dir"
    then = read_json(run / "audit.json", "audit of a run", {"split_sha256": str}, remedy=remedy)["split_sha256"]
    if then != split_hash:
        raise UserError(
            f"{run} holds a run on the split {then[:12]}, the data now gives {split_hash[:12]}: its images or labels, "
            "data.labels or data.exclude have changed; restore them, or choose another hydra.run.dir"
        )


def check_other_run(settings: RunSettings, run_dir: Path) -> None:
    """Refuse to continue the checkpoint of another run with other settings, or with no epoch left to train.

    Args:
        settings: of this run.
        run_dir: of this run.

    Raises:
        UserError: a setting of the run that ``resume=FILE`` belongs to is another, or it has had its epochs.
    """
    path = _resume_file(settings.resume, run_dir)
    if path is None or (run := path.absolute().parent.parent) == run_dir.absolute():
        return
    if (run / "config.yaml").is_file():
        check_same(settings.dump(), read_recorded(run), run)
    epochs = int(read_resumable(path)["epoch"]) + 1
    if epochs >= settings.trainer.max_epochs:
        raise UserError(
            f"resume={path} has been trained for {quantity(epochs, 'epoch')}: raise trainer.max_epochs above that"
        )


def find_resume(resume: str, run_dir: Path, classes: list[str]) -> Path | None:
    """Return the checkpoint of a classifier to continue from, or None to start anew.

    Args:
        resume: ``auto`` (the run directory's own), ``never``, or a file.
        run_dir: of this run.
        classes: the data's, in order.

    Raises:
        UserError: the file is missing, damaged, or of other classes.
    """
    if (path := _resume_file(resume, run_dir)) is None:
        return None
    theirs = _hyper_parameters(path).get("classes")
    if theirs != classes:
        raise UserError(
            f"checkpoint {path} was trained on the classes {theirs}, the data has {classes}; set data.classes and "
            "data.label_map to match, or give it as model.init=FILE to take over its backbone only"
        )
    return path


def find_pretraining(resume: str, run_dir: Path, ssl: SslSettings) -> Path | None:
    """Return the checkpoint of a pretraining to continue from, or None to start anew.

    Args:
        resume: as for :func:`find_resume`.
        run_dir: of this run.
        ssl: the method.

    Raises:
        UserError: the file is missing, damaged, or of another method.
    """
    if (path := _resume_file(resume, run_dir)) is None:
        return None
    theirs, method = _hyper_parameters(path).get("method"), ssl.dump()
    if isinstance(theirs, dict) and "_target_" not in theirs:  # of a version that knew methods by name
        theirs = {"_target_": method["_target_"], **theirs}
    if theirs != method:
        raise UserError(
            f"checkpoint {path} was made by the method {theirs}, this run has {method}; set ssl to match, or "
            "give its run's backbone.safetensors as model.init=FILE"
        )
    return path


def read_resumable(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint that a training can continue from.

    Raises:
        UserError: it is missing, damaged, or lacks what Lightning restores: the training would begin anew, unnoticed.
    """
    content: dict[str, Any] = read_checkpoint(path)
    fault = form_fault(content, RESTORED) or next((f"its {key} is empty" for key in NOT_EMPTY if not content[key]), "")
    if fault:
        raise UserError(f"checkpoint {path} is damaged or only weights ({fault}); restore it, or use another")
    return content


def _resume_file(resume: str, run_dir: Path) -> Path | None:
    if resume == "never":
        return None
    if resume != "auto":
        return find_checkpoint(resume)
    found = [path for name in ("last.ckpt", REQUEUED) if (path := run_dir / "checkpoints" / name).exists()]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _hyper_parameters(path: Path) -> dict[str, Any]:
    """Return what a module was built with; a damaged best checkpoint is noticed here, not after the last epoch."""
    if (best := path.with_name("best.ckpt")).exists():
        read_checkpoint(best)
    found: Any = read_resumable(path).get("hyper_parameters")
    return dict(found) if isinstance(found, dict) else {}
