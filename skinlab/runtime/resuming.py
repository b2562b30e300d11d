"""Continuing a run: what may differ, where it goes on, and when there is nothing left to do."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from skinlab.errors import UserError
from skinlab.models.bundle import find_checkpoint
from skinlab.models.weights import read_checkpoint
from skinlab.runtime.auditing import prepare_data

log = logging.getLogger(__name__)

# What decides the weights; the rest (loggers, workers, caches, more epochs) may change between two legs of a run.
FIXED = ("data", "model", "loss", "sampler", "semi", "ssl", "pool", "augment", "optimizer", "scheduler", "seed")
FREE = {
    "data.num_workers",
    "data.cache",
    "data.cache_dir",
    "data.root",
    "data.reader.root",
    "model.compile",
    "model.allow_seen",
}


def is_main_process() -> bool:
    """Tell whether this process is the one that writes: rank 0 by whatever launcher."""
    return all(int(os.environ.get(name) or 0) == 0 for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID"))


def recorded_config(config: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    """Add the run's id: the recorded one where a run is continued, else a new one.

    Raises:
        UserError: the directory holds a run with other settings, or one that ``resume=never`` would overwrite.
    """
    path = run_dir / "config.yaml"
    if not path.is_file():
        return config | {"run_id": secrets.token_hex(4)}
    if config["resume"] == "never":
        raise UserError(f"resume=never: {run_dir} already holds a run; choose another hydra.run.dir")
    recorded: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(path))  # type: ignore[assignment]
    for key in FIXED:
        now, then = dict(_leaves(config.get(key), key)), dict(_leaves(recorded.get(key), key))
        for name in sorted((now.keys() | then.keys()) - FREE):
            if now.get(name) != then.get(name):
                raise UserError(
                    f"{run_dir} holds a run with {name}={then.get(name)}, now it is {now.get(name)}; "
                    "choose another hydra.run.dir or the former setting"
                )
    return config | {"run_id": recorded["run_id"]}


def _leaves(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{place}.{key}")
    else:
        yield place, node


def finished_metrics(config: dict[str, Any], run_dir: Path) -> dict[str, Any] | None:
    """Return the metrics of a run that has had all its epochs, else None.

    Raises:
        UserError: its images or labels have changed since.
    """
    path = run_dir / "metrics.json"
    if not path.is_file():
        return None
    metrics: dict[str, Any] = json.loads(path.read_text())
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
    if run is None or not (run / "audit.json").is_file():
        return
    then = json.loads((run / "audit.json").read_text()).get("split_sha256", split_hash)
    if then != split_hash:
        raise UserError(
            f"{run} holds a run on the split {then[:12]}, the data now gives {split_hash[:12]}: its images or labels, "
            "data.labels or data.exclude have changed; restore them, or choose another hydra.run.dir"
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
    if theirs is None or list(theirs) != classes:
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
    if theirs != dict(method):
        raise UserError(
            f"checkpoint {path} was made by the method {theirs}, this run has {dict(method)}; set ssl to match, or "
            "give its run's backbone.safetensors as model.init=FILE"
        )
    return path


def _resume_file(resume: str, run_dir: Path) -> Path | None:
    if resume == "never":
        return None
    path = run_dir / "checkpoints" / "last.ckpt" if resume == "auto" else find_checkpoint(resume)
    return None if resume == "auto" and not path.is_file() else path


def _hyper_parameters(path: Path) -> dict[str, Any]:
    found: Any = read_checkpoint(path).get("hyper_parameters")
    return dict(found) if isinstance(found, dict) else {}
