"""The callbacks of a training or pretraining run, from its config."""

from __future__ import annotations

import math
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

from skinlab.callbacks.acceptance import AcceptanceLog
from skinlab.callbacks.collapse import StopAtCollapse
from skinlab.callbacks.epoch_figures import EpochFigures
from skinlab.callbacks.freeze import FreezeBackbone
from skinlab.callbacks.probe import FIGURES, Probe
from skinlab.callbacks.safety import FiniteLoss
from skinlab.errors import UserError, nearest
from skinlab.evaluation.metric_registry import direction
from skinlab.models.epoch_metrics import epoch_metric_names


def build_callbacks(
    config: dict[str, Any], run_dir: Path, classes: list[str], counts: list[int] | None = None
) -> list[pl.Callback]:
    """Build the callbacks; the checkpoints come last, after whatever else an epoch's end does.

    Args:
        config: of the run.
        run_dir: of the run.
        classes: class names in the order of the logits.
        counts: validation images of each class, if they are known.

    Raises:
        UserError: the monitor is no metric of an epoch or has no value on these images, or its mode is wrong.
    """
    settings, model = config["callbacks"], config["model"]
    monitor = settings["monitor"]
    check_monitor(monitor, classes, counts)
    mode = monitor_mode(monitor, settings["mode"])
    callbacks: list[pl.Callback] = [FiniteLoss(config["trainer"]["log_every_n_steps"])]
    if config["logger"]:
        callbacks.append(LearningRateMonitor())
    if config["semi"]["name"] != "none":
        callbacks.append(AcceptanceLog(run_dir / "semi.csv", classes))
    if model["freeze_epochs"] > 0:
        callbacks.append(FreezeBackbone(model["freeze_epochs"]))
    if model["ema_decay"] > 0:
        callbacks.append(EMAWeightAveraging(decay=model["ema_decay"], use_buffers=True))
    if settings["patience"] > 0:
        callbacks.append(EarlyStopping(monitor, mode=mode, patience=settings["patience"]))
    if settings["progress"]:
        callbacks.append(RichProgressBar(leave=True))
    epochs, every = config["trainer"]["max_epochs"], config["trainer"]["check_val_every_n_epoch"]
    if not 1 <= every <= epochs:
        raise UserError(
            f"trainer.check_val_every_n_epoch={every}: choose from 1 to trainer.max_epochs={epochs}, "
            "or no epoch is judged"
        )
    return [*callbacks, *_checkpoints(run_dir / "checkpoints", monitor, mode, math.gcd(every, epochs))]


def build_pretraining_callbacks(config: dict[str, Any], run_dir: Path, probe: Probe | None) -> list[pl.Callback]:
    """Build the callbacks of a pretraining; its checkpoints come last.

    Args:
        config: of the run.
        run_dir: of the run.
        probe: None where there is nothing to probe.

    Raises:
        UserError: the monitor is no figure of an epoch.
    """
    settings = config["callbacks"]
    monitor, mode = choose_monitor(settings["monitor"], probe is not None)
    if settings["patience"] > 0 and monitor == "epoch":
        raise UserError(
            f"callbacks.patience={settings['patience']}: the last epoch is always the best without a probe, so nothing "
            "stops early; set it to 0, or callbacks.monitor=train/loss"
        )
    callbacks: list[pl.Callback] = [FiniteLoss(config["trainer"]["log_every_n_steps"])]
    callbacks += [StopAtCollapse(), EpochFigures()]
    if config["logger"]:
        callbacks.append(LearningRateMonitor())
    if probe is not None:
        callbacks.append(probe)
    if settings["patience"] > 0:
        patience: dict[str, Any] = {"patience": settings["patience"], "check_on_train_epoch_end": True}
        callbacks.append(EarlyStopping(monitor, mode=mode, strict=False, **patience))  # not every epoch is probed
    if settings["progress"]:
        callbacks.append(RichProgressBar(leave=True))
    every = math.gcd(max(config["probe"]["every_n_epochs"], 1), config["trainer"]["max_epochs"])
    return [*callbacks, *_checkpoints(run_dir / "checkpoints", monitor, mode, every)]


def check_monitor(monitor: str, classes: list[str], counts: list[int] | None) -> None:
    """Refuse a monitor that no epoch will have.

    Args:
        monitor: with its ``val/``.
        classes: class names in the order of the logits.
        counts: validation images of each class, if they are known.

    Raises:
        UserError: no such metric, or it is undefined on these validation images.
    """
    names = [f"val/{name}" for name in epoch_metric_names(classes)]
    if monitor not in names:
        raise UserError(f"callbacks.monitor={monitor}: no such metric{nearest(monitor, names)}; e.g. val/loss")
    if counts and monitor.removeprefix("val/") not in epoch_metric_names(classes, counts):
        found = ", ".join(f"{n} {name}" for name, n in zip(classes, counts, strict=True))
        raise UserError(
            f"callbacks.monitor={monitor} is undefined on these validation images ({found}); choose another, e.g. "
            "val/loss, or another data.fold"
        )


def monitor_mode(monitor: str, mode: str = "auto") -> str:
    """Return whether a monitor is better the smaller (``min``) or the larger (``max``): that belongs to the metric.

    Args:
        monitor: with its ``val/``.
        mode: ``auto``, or the user's, which may only confirm it.

    Raises:
        UserError: the mode is unknown or contradicts the metric.

    >>> monitor_mode("val/auroc_macro"), monitor_mode("val/loss")
    ('max', 'min')
    """
    if mode not in ("auto", "min", "max"):
        raise UserError(f"callbacks.mode={mode}: choose auto, min or max")
    metric = monitor.removeprefix("val/")
    right = "min" if metric == "loss" else direction(metric)
    if mode not in ("auto", right):
        better = "smaller" if right == "min" else "larger"
        raise UserError(
            f"callbacks.mode={mode} would keep the worst epoch: {monitor} is better the {better}; "
            "leave callbacks.mode=auto"
        )
    return str(right)


def choose_monitor(monitor: str, probed: bool) -> tuple[str, str]:
    """Return the figure by which the best epoch of a pretraining is chosen, and whether it is to be ``min`` or ``max``.

    Args:
        monitor: ``auto`` (a probe's if there is one, else the last epoch), or a figure.
        probed: whether there is a probe.

    Raises:
        UserError: no such figure.

    >>> choose_monitor("auto", probed=True), choose_monitor("auto", probed=False)
    (('probe/knn_balanced_accuracy', 'max'), ('epoch', 'max'))
    """
    # Without a probe the last epoch: under a moving teacher a low loss says nothing of the features.
    names = [*(FIGURES if probed else []), "epoch", "train/loss"]
    if monitor == "auto":
        monitor = names[0]
    if monitor not in names:
        reason = (
            "needs a probe, which needs labels" if monitor in FIGURES else f"no such figure{nearest(monitor, names)}"
        )
        raise UserError(f"callbacks.monitor={monitor}: {reason}; choose auto, {', '.join(names)}")
    return monitor, "min" if monitor == "train/loss" else "max"


def _checkpoints(directory: Path, monitor: str, mode: str, every: int) -> list[pl.Callback]:
    """Keep the best epoch and the last of every so many, under fixed names, written at the end of the whole epoch.

    Epochs of a few images are many, and a checkpoint of each would take longer than they do. `every` divides their
    number, so that the very last is among them.
    """
    fixed: dict[str, Any] = {
        "dirpath": directory,
        "auto_insert_metric_name": False,
        "enable_version_counter": False,
        "save_on_train_epoch_end": True,
    }
    best = ModelCheckpoint(filename="best", monitor=monitor, mode=mode, save_top_k=1, **fixed)
    return [best, ModelCheckpoint(filename="last", save_top_k=1, every_n_epochs=every, **fixed)]
