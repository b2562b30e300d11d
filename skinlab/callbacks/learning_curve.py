"""Complete the learning curve of a training that was killed at the end of an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl


@runtime_checkable
class Completable(Protocol):
    """A logger whose rows a continued run appends to."""

    def complete(self, metrics: Mapping[str, float], step: int) -> None:
        """Append a row unless there is one."""


class LearningCurve(pl.Callback):
    """Keeps an epoch's means in its checkpoint, and logs them where a continued run's CSV lacks them.

    Lightning logs the means after the checkpoint is written. A training that is killed in between does not repeat the
    epoch.
    """

    def __init__(self) -> None:
        self.step, self.means = 0, dict[str, float]()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep what Lightning is about to log."""
        # A probe of an earlier epoch is among the logged metrics, and not among the others: see Probe.
        names = [name for name in trainer.logged_metrics if name in trainer.callback_metrics]
        names = [name for name in names if not name.startswith("val/") and not name.endswith("_step")]
        means = {name: float(trainer.logged_metrics[name]) for name in names}
        self.step, self.means = trainer.global_step - 1, {**means, "epoch": trainer.current_epoch}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the means of the last epoch, if they are missing."""
        for logger in trainer.loggers:
            if isinstance(logger, Completable) and self.means:
                logger.complete(self.means, self.step)

    def state_dict(self) -> dict[str, Any]:
        """Return what the checkpoint keeps."""
        return {"step": self.step, "means": self.means}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self.step, self.means = state_dict["step"], state_dict["means"]
