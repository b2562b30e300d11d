"""Keep the metrics, images and seconds of an epoch of pretraining in its checkpoint."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl

STATE_KEY = "EpochFigures"  # as in checkpoints of earlier versions


class PretrainingMetrics(pl.Callback):
    """Counts images and seconds over all parts of a run, and keeps the metrics ``train/...`` of the last epoch.

    Attributes:
        images: of all processes, each as often as it was sampled.
        seconds: of the epochs, without what callbacks do between them.
        metrics: of the epoch that a checkpoint was made after.
    """

    def __init__(self) -> None:
        self.images, self.epoch_images, self.seconds, self.metrics = 0, 0, 0.0, dict[str, float]()

    @property
    def state_key(self) -> str:
        """Return the name of the state in a checkpoint."""
        return STATE_KEY

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images of the batch."""
        self.epoch_images += len(batch["row"]) * trainer.world_size

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add up the seconds and keep the metrics."""
        taken = time.perf_counter() - self.started
        pl_module.log("images_per_second", self.epoch_images / taken)
        self.images, self.epoch_images, self.seconds = self.images + self.epoch_images, 0, self.seconds + taken
        means = {name: float(value) for name, value in trainer.callback_metrics.items() if not name.endswith("_step")}
        self.metrics = {name: means[name] for name in sorted(means) if name.startswith("train/")}
        self.metrics["epoch"] = float(trainer.current_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the counts and metrics that a checkpoint keeps, those of an unfinished epoch among the counts."""
        seconds = self.seconds + (time.perf_counter() - self.started if self.epoch_images else 0.0)
        return {"images": self.images + self.epoch_images, "seconds": seconds, "metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counts and metrics; those of an older checkpoint have the key ``figures``."""
        self.images, self.seconds = state_dict["images"], state_dict["seconds"]
        self.metrics = state_dict["metrics"] if "metrics" in state_dict else state_dict["figures"]
