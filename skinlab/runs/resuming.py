"""Continuing a run: what may differ, where it goes on, and when there is nothing left to do."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skinlab.errors import UserError
from skinlab.json_files import NUMBER, Keys, form_fault, read_json
from skinlab.models.weights import find_checkpoint, read_checkpoint
from skinlab.runs.preparation import prepare_data
from skinlab.runs.run_directory import is_finished
from skinlab.settings.recorded import holds_run, leaves, read_recorded

log = logging.getLogger(__name__)

# What may differ between two legs of a run. Everything else decides its weights or its record, and is refused; the
# number of epochs may be raised.
FREE = (
    *("run_dir", "run_id", "resume", "logger", "evidence", "callbacks.progress", "trainer.log_every_n_steps"),
    *("data.num_workers", "data.cache", "data.cache_dir", "data.root", "data.reader.root"),
    *("model.compile", "model.allow_seen"),
)
EPOCHS = "trainer.max_epochs"
# What is read of the metrics of a finished run.
FINISHED: Keys = {"max_epochs": NUMBER, "best/monitor": NUMBER, "best/epoch": NUMBER, "init_used": str}
# What a checkpoint must have for a training to go on from it.
FILLED: Keys = {"state_dict": dict, "loops": dict, "callbacks": dict, "optimizer_states": list}
RESTORED: Keys = {"epoch": int, "global_step": int, "lr_schedulers": list, **FILLED}


def is_free(name: str) -> bool:
    """Tell whether a setting may differ between two legs of a run.

    >>> is_free("logger.wandb.project"), is_free("data.num_workers"), is_free("trainer.precision")
    (True, True, False)
    """
    return any(name == each or name.startswith(f"{each}.") for each in FREE)


def recorded_config(config: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    """Add the run's id: the recorded one where a run is continued, else a new one.

    Raises:
        UserError: the directory holds a run with other settings, or one that ``resume=never`` would overwrite.
    """
    if not holds_run(run_dir):
        return config | {"run_id": secrets.token_hex(4)}
    if config["resume"] == "never":
        raise UserError(f"resume=never: {run_dir} already holds a run; choose another hydra.run.dir")
    recorded = read_recorded(run_dir)
    check_same(config, recorded, run_dir)
    log.info("%s holds a run, which goes on with the settings of its config.yaml", run_dir)
    return config | {"run_id": recorded["run_id"]}


def check_same(config: Mapping[str, Any], recorded: Mapping[str, Any], run: Path) -> None:
    """Refuse to go on with a run under other settings, see ``FREE``.

    Args:
        config: as it is now.
        recorded: of the run.
        run: its directory.

    Raises:
        UserError: a setting differs that decides the weights or the record.
    """
    now: dict[str, Any] = dict(leaves(config))
    then: dict[str, Any] = dict(leaves(recorded))
    if all(each["model.freeze_epochs"] >= each[EPOCHS] for each in (now, then)):  # frozen throughout, however long
        then["model.freeze_epochs"] = now["model.freeze_epochs"]
    for name in sorted(now.keys() | then.keys()):
        value, former = now.get(name), then.get(name)
        if is_free(name) or (name == EPOCHS and now[name] > then[name]):
            continue
        if type(value) is not type(former) or value != former:  # limit_train_batches: 1 is one batch, 1.0 all of them
            raise UserError(
                f"{run} holds a run with {name}={former}, now it is {value}; choose another hydra.run.dir or the "
                "former setting"
            )


def finished_metrics(config: dict[str, Any], run_dir: Path) -> dict[str, Any] | None:
    """Return the metrics of a run that has had all its epochs, else None.

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
    if metrics["max_epochs"] < config["trainer"]["max_epochs"]:
        return None
    try:
        now = prepare_data(config["data"]).split_hash
    except UserError as error:  # a finished run outlives its data
        log.warning("whether the data is still that of %s can't be told: %s", run_dir, error)
    else:
        check_split("auto", run_dir, now)
    log.info("%s is finished; raise trainer.max_epochs to go on, or choose another hydra.run.dir", run_dir)
    return metrics


def check_split(resume: str, run_dir: Path, split_hash: str) -> None:
    """Refuse to continue a run on other images or labels: the same settings may name tables that have changed.

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


def check_other_run(config: Mapping[str, Any], run_dir: Path) -> None:
    """Refuse to go on with the checkpoint of another run under settings that aren't its own, or with nothing to train.

    Args:
        config: of this run.
        run_dir: of this run.

    Raises:
        UserError: a setting of the run that ``resume=FILE`` belongs to is another, or it has had its epochs.
    """
    path = _resume_file(config["resume"], run_dir)
    if path is None or (run := path.absolute().parent.parent) == run_dir.absolute():
        return
    if (run / "config.yaml").is_file():
        check_same(config, read_recorded(run), run)
    epochs = int(read_resumable(path)["epoch"]) + 1
    if epochs >= config["trainer"]["max_epochs"]:
        raise UserError(f"resume={path} has had {epochs} epochs: raise trainer.max_epochs above that")


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


def find_pretraining(resume: str, run_dir: Path, method: Mapping[str, Any]) -> Path | None:
    """Return the checkpoint of a pretraining to continue from, or None to start anew.

    Args:
        resume: as for :func:`find_resume`.
        run_dir: of this run.
        method: its name and settings.

    Raises:
        UserError: the file is missing, damaged, or of another method.
    """
    if (path := _resume_file(resume, run_dir)) is None:
        return None
    theirs = _hyper_parameters(path).get("method")
    if isinstance(theirs, dict) and "_target_" not in theirs:  # of a version that knew methods by name
        theirs = {"_target_": method["_target_"], **theirs}
    if theirs != dict(method):
        raise UserError(
            f"checkpoint {path} was made by the method {theirs}, this run has {dict(method)}; set ssl to match, or "
            "give its run's backbone.safetensors as model.init=FILE"
        )
    return path


def read_resumable(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint that a training can go on from.

    Raises:
        UserError: it is missing, damaged, or lacks what Lightning restores: the training would begin anew, unnoticed.
    """
    content: dict[str, Any] = read_checkpoint(path)
    fault = form_fault(content, RESTORED) or next((f"its {key} is empty" for key in FILLED if not content[key]), "")
    if fault:
        raise UserError(f"checkpoint {path} is damaged or only weights ({fault}); restore it, or use another")
    return content


def _resume_file(resume: str, run_dir: Path) -> Path | None:
    if resume == "never":
        return None
    if resume != "auto":
        return find_checkpoint(resume)
    path = run_dir / "checkpoints" / "last.ckpt"
    return path if path.exists() else None


def _hyper_parameters(path: Path) -> dict[str, Any]:
    """Return what a module was built with; a damaged best checkpoint is noticed here, not after the last epoch."""
    if (best := path.with_name("best.ckpt")).exists():
        read_checkpoint(best)
    found: Any = read_resumable(path).get("hyper_parameters")
    return dict(found) if isinstance(found, dict) else {}
