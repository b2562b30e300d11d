"""Build the callbacks of a training or pretraining run from its settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
)

from skinlab.callbacks.acceptance import AcceptanceLog
from skinlab.callbacks.freeze import FreezeBackbone
from skinlab.callbacks.mean_weights import MeanWeights
from skinlab.callbacks.pretraining_metrics import PretrainingMetrics
from skinlab.callbacks.probe import PROBE_METRICS, Probe
from skinlab.callbacks.progress import RunProgress
from skinlab.callbacks.safety import FiniteLoss, StopAtCollapse
from skinlab.errors import UserError, nearest
from skinlab.evaluation.metrics.registry import direction
from skinlab.models.epoch_metrics import WORST_GROUP, epoch_metric_names
from skinlab.settings.commands.pretrain import PretrainSettings
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.run import RunSettings


def build_callbacks(
    settings: TrainSettings, run_dir: Path, classes: list[str], counts: list[int] | None = None
) -> list[pl.Callback]:
    """Build the callbacks of a training; checkpoints come last, after whatever else happens at the end of an epoch.

    Args:
        settings: of the run.
        run_dir: of the run.
        classes: class names in the order of the logits.
        counts: validation images of each class, if they are known.

    Raises:
        UserError: the monitor is no metric of an epoch or has no value on these images, or its mode is wrong.
    """
    model, monitor = settings.model, settings.callbacks.monitor
    check_monitor(monitor, classes, counts, by_domain=bool(settings.find("loss.domain")))
    mode = monitor_mode(monitor, settings.callbacks.mode)
    own: list[pl.Callback] = []
    if settings.semi.name != "none":
        own.append(AcceptanceLog(run_dir / "semi.csv", classes))
    if model.freeze_epochs > 0:
        own.append(FreezeBackbone(model.freeze_epochs))
    if model.ema_decay > 0:
        own.append(EMAWeightAveraging(decay=model.ema_decay, use_buffers=True))
    if model.swa_epochs > 0:
        own.append(MeanWeights(settings.trainer.max_epochs - model.swa_epochs))
    stopping = EarlyStopping(monitor, mode=mode, patience=settings.callbacks.patience)
    return _assemble(settings, own, run_dir, stopping, settings.trainer.check_val_every_n_epoch)


def build_pretraining_callbacks(settings: PretrainSettings, run_dir: Path, probe: Probe | None) -> list[pl.Callback]:
    """Build the callbacks of a pretraining; its checkpoints come last.

    Args:
        settings: of the run.
        run_dir: of the run.
        probe: None where there is nothing to probe.

    Raises:
        UserError: the monitor is no metric of an epoch.
    """
    patience, every = settings.callbacks.patience, settings.probe.every_n_epochs
    monitor, mode = choose_monitor(settings.callbacks.monitor, probe is not None)
    if patience > 0 and monitor == "epoch":
        raise UserError(
            f"callbacks.patience={patience}: the last epoch is always the best without a probe, so nothing stops "
            "early; set it to 0, or callbacks.monitor=train/loss"
        )
    own = [StopAtCollapse(), PretrainingMetrics(), *([] if probe is None else [probe])]
    # Not strict, for not every epoch is probed.
    stopping = EarlyStopping(monitor, mode=mode, strict=False, patience=patience, check_on_train_epoch_end=True)
    return _assemble(settings, own, run_dir, stopping, 1 if every == "auto" else max(every, 1))


def check_monitor(
    monitor: str, classes: list[str], counts: list[int] | None = None, *, by_domain: bool = False
) -> None:
    """Refuse a monitor that is no metric of an epoch, or has no value on these images.

    Args:
        monitor: with its ``val/``.
        classes: class names in the order of the logits.
        counts: validation images of each class, if they are known.
        by_domain: whether the loss has a domain, whose worst group is then a metric, too.

    Raises:
        UserError: no such metric, or it is undefined on these validation images.
    """
    names = [f"val/{name}" for name in epoch_metric_names(classes)]
    if by_domain and monitor == f"val/{WORST_GROUP}":
        return
    if monitor not in names:
        there = f"; the classes are {', '.join(classes)}" if monitor.count("/") > 1 else "; e.g. val/loss"
        raise UserError(f"callbacks.monitor={monitor}: no such metric{nearest(monitor, names)}{there}")
    if counts and monitor.removeprefix("val/") not in epoch_metric_names(classes, counts):
        found = ", ".join(f"{n} {name}" for name, n in zip(classes, counts, strict=True))
        raise UserError(
            f"callbacks.monitor={monitor} is undefined on these validation images ({found}); choose another, e.g. "
            "val/loss, or another data.fold"
        )


def monitor_mode(monitor: str, mode: str = "auto") -> str:
    """Return the direction in which a monitor improves, ``min`` or ``max``, which follows from its metric.

    Args:
        monitor: with its ``val/``.
        mode: ``auto``, or the user's, which may only confirm it.

    Raises:
        UserError: the mode contradicts the metric.

    >>> monitor_mode("val/auroc_macro"), monitor_mode("val/loss")
    ('max', 'min')
    """
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
    """Return the metric by which the best epoch of a pretraining is chosen, and its direction: ``min`` or ``max``.

    Args:
        monitor: ``auto`` (a probe's if there is one, else the last epoch), or a metric.
        probed: whether there is a probe.

    Raises:
        UserError: no such metric.

    >>> choose_monitor("auto", probed=True), choose_monitor("auto", probed=False)
    (('probe/knn_balanced_accuracy', 'max'), ('epoch', 'max'))
    """
    # Without a probe the last epoch: with a moving teacher a low loss does not mean good features.
    names = [*(PROBE_METRICS if probed else []), "epoch", "train/loss"]
    if monitor == "auto":
        monitor = names[0]
    if monitor not in names:
        reason = (
            "needs a probe, which needs labels"
            if monitor in PROBE_METRICS
            else f"no such metric{nearest(monitor, names)}"
        )
        raise UserError(f"callbacks.monitor={monitor}: {reason}; choose auto, {', '.join(names)}")
    return monitor, "min" if monitor == "train/loss" else "max"


def _assemble(
    settings: RunSettings, own: Sequence[pl.Callback], run_dir: Path, stopping: EarlyStopping, interval: int
) -> list[pl.Callback]:
    """Return the callbacks of a command with those of every run; the monitor has a value each `interval` epochs."""
    callbacks: list[pl.Callback] = [FiniteLoss(settings.trainer.log_every_n_steps), *own]
    if settings.logger:
        callbacks.append(LearningRateMonitor())
    if stopping.patience > 0:
        callbacks.append(stopping)
    if settings.callbacks.progress:
        callbacks.append(RunProgress(stopping.monitor))
    fixed: dict[str, Any] = {
        "dirpath": run_dir / "checkpoints",
        "auto_insert_metric_name": False,
        "enable_version_counter": False,
        "save_on_train_epoch_end": True,
        "save_top_k": 1,
    }
    best = ModelCheckpoint(filename="best", monitor=stopping.monitor, mode=stopping.mode, **fixed)
    # Not each epoch: those of a few images would take less time than their checkpoint. It divides their number, so that
    # the very last is among them.
    every = math.gcd(interval, settings.trainer.max_epochs)
    last = ModelCheckpoint(filename="last", every_n_epochs=every, **fixed)
    return [*callbacks, best, last]
