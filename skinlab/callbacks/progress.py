"""Show how far a run is, with the time left of the whole run, and log its epochs."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl

from skinlab.processes.progress import Progress, clock, log

SHOWN = 3  # metrics of an epoch, beside the monitor


class RunProgress(pl.Callback):
    """Shows the batches of all epochs as one step, and logs a line each epoch; epochs count from 1.

    Args:
        monitor: the metric by which the best epoch is chosen.
    """

    def __init__(self, monitor: str) -> None:
        super().__init__()
        self.monitor = monitor
        self.progress: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin with the epochs that an earlier part of the run has done."""
        self.per_epoch = int(trainer.num_training_batches)
        done = trainer.current_epoch * self.per_epoch
        total = (trainer.max_epochs or trainer.current_epoch + 1) * self.per_epoch
        self.progress = Progress(self._title(trainer), total, done=done)
        self.progress.__enter__()
        self.epoch_started = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Count a batch."""
        if self.progress is not None:
            self.progress.advance(1, self._title(trainer))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the metrics of the epoch."""
        if self.progress is None or not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        names = [self.monitor, "train/loss", *(name for name in metrics if name.startswith(("val/", "probe/")))]
        known = [name for name in dict.fromkeys(names) if name in metrics][: SHOWN + 1]
        values = ", ".join(f"{name} {metrics[name]:.4g}" for name in known)
        took = clock(time.monotonic() - self.epoch_started)
        log.info("%s: %s; took %s, %s", self._title(trainer), values or "no metrics", took, self.progress.left())
        self.epoch_started = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take the bar off the screen, whatever ended the run."""
        if self.progress is not None:
            self.progress.__exit__(None, None, None)
            self.progress = None

    def _title(self, trainer: pl.Trainer) -> str:
        return f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
