"""The callbacks of a training run, from its config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)

from skinlab.callbacks.freeze import FreezeBackbone
from skinlab.callbacks.safety import FiniteLoss
from skinlab.errors import UserError, nearest
from skinlab.models.epoch_metrics import figure_names


def build_callbacks(config: dict[str, Any], run_dir: Path, classes: list[str]) -> list[pl.Callback]:
    """Build the callbacks; the checkpoints come last, after whatever else an epoch's end does.

    Raises:
        UserError: the monitor is no figure of an epoch, or its mode is unknown.
    """
    settings, model = config["callbacks"], config["model"]
    monitor, mode = settings["monitor"], settings["mode"]
    names = [f"val/{name}" for name in figure_names(classes)]
    if monitor not in names:
        raise UserError(f"callbacks.monitor={monitor}: no such figure{nearest(monitor, names)}; e.g. val/loss")
    if mode not in ("min", "max"):
        raise UserError(f"callbacks.mode={mode}: choose min or max")
    callbacks: list[pl.Callback] = [FiniteLoss(config["trainer"]["log_every_n_steps"])]
    if config["logger"]:
        callbacks.append(LearningRateMonitor())
    if model["freeze_epochs"] > 0:
        callbacks.append(FreezeBackbone(model["freeze_epochs"]))
    if model["ema_decay"] > 0:
        callbacks.append(EMAWeightAveraging(decay=model["ema_decay"], use_buffers=True))
    if settings["patience"] > 0:
        callbacks.append(EarlyStopping(monitor, mode=mode, patience=settings["patience"]))
    if settings["progress"]:
        callbacks.append(RichProgressBar(leave=True))
    return [*callbacks, *_checkpoints(run_dir / "checkpoints", monitor, mode)]


def _checkpoints(directory: Path, monitor: str, mode: str) -> list[pl.Callback]:
    """Keep the best epoch and the last one, under fixed names, written at the end of the whole epoch."""
    fixed: dict[str, Any] = {
        "dirpath": directory,
        "auto_insert_metric_name": False,
        "enable_version_counter": False,
        "save_on_train_epoch_end": True,
    }
    best = ModelCheckpoint(filename="best", monitor=monitor, mode=mode, save_top_k=1, **fixed)
    return [best, ModelCheckpoint(filename="last", save_top_k=1, **fixed)]
