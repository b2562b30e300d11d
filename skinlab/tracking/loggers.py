"""Where a run's figures go: a CSV file, TensorBoard, W&B, or several; and their orderly closing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.loggers.logger import DummyLogger

from skinlab.errors import UserError, nearest
from skinlab.files import is_main_process
from skinlab.models.weights import read_checkpoint
from skinlab.tracking.fault_tolerant_loggers import CsvLogger, EnduringWandbLogger

# The settings of each logger; an unknown one would be recorded with the rest of the config, whatever it is.
SETTINGS = {"csv": (), "tensorboard": (), "wandb": ("project", "entity", "name", "group", "tags", "offline")}


def check_loggers(settings: Mapping[str, Any]) -> None:
    """Refuse, before anything is written, a logger whose package is missing or whose settings are unusable.

    Raises:
        UserError: a logger or one of its settings is unknown, its package is not installed, or W&B refuses a setting.
    """
    for logger, own in settings.items():
        if logger not in SETTINGS:
            raise UserError(f"logger.{logger}: no such logger{nearest(logger, SETTINGS)}; choose {', '.join(SETTINGS)}")
        known = SETTINGS[logger]
        there = f"{logger} has {', '.join(known)}" if known else f"{logger} has no settings"
        if not isinstance(own, Mapping):
            raise UserError(f"logger.{logger} is not a mapping of settings; {there}")
        if strange := [str(key) for key in own if key not in known]:
            raise UserError(f"logger.{logger}.{strange[0]}: no such setting{nearest(strange[0], known)}; {there}")
    if "tensorboard" in settings and importlib.util.find_spec("tensorboard") is None:
        raise UserError("logger=tensorboard: its package is missing; pip install 'skinlab[tensorboard]', or logger=csv")
    if "wandb" in settings:
        from skinlab.tracking.wandb_run import check_wandb  # W&B takes its time to import

        check_wandb(settings["wandb"])


def open_loggers(
    settings: Mapping[str, Any], run_dir: Path, config: Mapping[str, Any], *, resumed: Path | None = None
) -> list[Logger]:
    """Open the loggers of a run; processes other than the first get one that keeps nothing.

    Args:
        settings: the config's ``logger`` group, logger → its settings.
        run_dir: of the run.
        config: the whole resolved config, with ``run_id``.
        resumed: checkpoint from which the run goes on; what was logged after it will be logged again, so it goes.

    Raises:
        UserError: the directory can't be written.
    """
    if not is_main_process():
        return [DummyLogger()]
    step = int(str(read_checkpoint(resumed)["global_step"])) if resumed else 0
    loggers: list[Logger] = []
    if "csv" in settings:
        loggers.append(CsvLogger(run_dir / "csv" / "metrics.csv", step))
    if "tensorboard" in settings:
        loggers.append(
            TensorBoardLogger(run_dir, "tensorboard", version="", default_hp_metric=False, purge_step=step or None)
        )
    if "wandb" in settings:
        from skinlab.tracking.wandb_run import open_wandb

        loggers.append(open_wandb(settings["wandb"], run_dir, config))
    return loggers


@contextmanager
def run_loggers(config: Mapping[str, Any], run_dir: Path, *, resumed: Path | None = None) -> Iterator[list[Logger]]:
    """Yield the loggers of a run and close them, whatever becomes of it; arguments as :func:`open_loggers`."""
    loggers, ok = open_loggers(config["logger"], run_dir, config, resumed=resumed), False
    try:
        yield loggers
        ok = True
    finally:
        close_loggers(loggers, ok)


def log_outcome(
    loggers: Sequence[Logger],
    run_dir: Path,
    metrics: Mapping[str, Any],
    *,
    step: int,
    fit: str = "crop",
) -> None:
    """Log what was found out after the last epoch; the CSV is left alone, as ``metrics.json`` has it.

    Args:
        loggers: of the run.
        run_dir: with ``predictions/``.
        metrics: as in ``metrics.json``.
        step: optimiser steps done.
        fit: how the images were cut for the network.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_metrics({name: value for name, value in metrics.items() if name.startswith("test/")}, step)
        if isinstance(logger, EnduringWandbLogger):
            from skinlab.tracking.wandb_media import log_wandb_outcome

            log_wandb_outcome(logger, run_dir, metrics, step=step, fit=fit)


def log_summary(loggers: Sequence[Logger], metrics: Mapping[str, Any]) -> None:
    """Set the final metrics of a run on W&B, if it is among the loggers."""
    for logger in loggers:
        if isinstance(logger, EnduringWandbLogger):
            logger.log_summary(metrics)


def close_loggers(loggers: Sequence[Logger], ok: bool = True) -> None:
    """Close every logger, whatever became of the run.

    Args:
        loggers: of the run.
        ok: whether it ended well; W&B marks it as failed otherwise.
    """
    for logger in loggers:
        logger.finalize("success" if ok else "failed")
        if isinstance(logger, EnduringWandbLogger):
            logger.finish(ok)
