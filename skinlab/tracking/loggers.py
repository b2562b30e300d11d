"""Open and close the loggers of a run: a CSV file, TensorBoard, W&B, or several."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.loggers.logger import DummyLogger

from skinlab.errors import UserError
from skinlab.files import is_main_process
from skinlab.models.weights import read_checkpoint
from skinlab.settings.groups import LoggerSettings
from skinlab.settings.run import RunSettings
from skinlab.tracking.fault_tolerant_loggers import CsvLogger, FaultTolerantWandbLogger


def check_loggers(settings: LoggerSettings) -> None:
    """Refuse, before anything is written, a logger whose package is missing or whose names W&B does not accept.

    Raises:
        UserError: the package is not installed, or W&B refuses a setting.
    """
    if settings.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UserError("logger=tensorboard: its package is missing; pip install 'skinlab[tensorboard]', or logger=csv")
    if settings.wandb:
        from skinlab.tracking.wandb_run import check_wandb  # W&B takes its time to import

        check_wandb(settings.wandb)


def open_loggers(
    settings: LoggerSettings, run_dir: Path, config: Mapping[str, Any], *, resumed: Path | None = None
) -> list[Logger]:
    """Open the loggers of a run; processes other than the first get one that keeps nothing.

    Args:
        settings: which loggers, and their settings.
        run_dir: of the run.
        config: what W&B records with the run, with ``run_id``.
        resumed: checkpoint from which the run continues; rows after it are dropped, since they will be logged again.

    Raises:
        UserError: the directory can't be written.
    """
    if not is_main_process():
        return [DummyLogger()]
    step = int(str(read_checkpoint(resumed)["global_step"])) if resumed else 0
    loggers: list[Logger] = []
    if settings.csv:
        loggers.append(CsvLogger(run_dir / "csv" / "metrics.csv", step))
    if settings.tensorboard:
        loggers.append(
            TensorBoardLogger(run_dir, "tensorboard", version="", default_hp_metric=False, purge_step=step or None)
        )
    if settings.wandb:
        from skinlab.tracking.wandb_run import open_wandb

        loggers.append(open_wandb(settings.wandb, run_dir, config))
    return loggers


@contextmanager
def run_loggers(settings: RunSettings, run_dir: Path, *, resumed: Path | None = None) -> Iterator[list[Logger]]:
    """Yield the loggers of a run and close them even after an error; arguments as :func:`open_loggers`."""
    loggers, ok = open_loggers(settings.logger, run_dir, settings.dump(), resumed=resumed), False
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
    """Log the metrics after the last epoch, except to the CSV: ``metrics.json`` holds them.

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
        if isinstance(logger, FaultTolerantWandbLogger):
            from skinlab.tracking.wandb_media import log_wandb_outcome

            log_wandb_outcome(logger, run_dir, metrics, step=step, fit=fit)


def log_summary(loggers: Sequence[Logger], metrics: Mapping[str, Any]) -> None:
    """Set the final metrics of a run on W&B, if it is among the loggers."""
    for logger in loggers:
        if isinstance(logger, FaultTolerantWandbLogger):
            logger.log_summary(metrics)


def log_run_evidence(loggers: Sequence[Logger], run_dir: Path, evidence: Mapping[str, Any] | None, step: int) -> None:
    """Log the intervals and the report of a run on W&B, if it is among the loggers.

    Args:
        loggers: of the run.
        run_dir: with ``report.html``.
        evidence: of the run, None where there is none.
        step: optimiser steps done.
    """
    for logger in loggers:
        if evidence is not None and isinstance(logger, FaultTolerantWandbLogger):
            from skinlab.tracking.wandb_evidence import headline, page

            (system,) = evidence["systems"]
            logger.log_summary(headline(system, system["sources"][0]["split"]))
            logger.log_metrics(page(run_dir), step)


def close_loggers(loggers: Sequence[Logger], ok: bool = True) -> None:
    """Close every logger, also after an error.

    Args:
        loggers: of the run.
        ok: whether it ended well; W&B marks it as failed otherwise.
    """
    for logger in loggers:
        logger.finalize("success" if ok else "failed")
        if isinstance(logger, FaultTolerantWandbLogger):
            logger.finish(ok)
