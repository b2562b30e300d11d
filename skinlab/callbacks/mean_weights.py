"""Average the weights of the last epochs (SWA: Izmailov et al., 2018; every step of them: SWAD, Cha et al., 2021)."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging


class MeanWeights(WeightAveraging):
    """Validates and keeps the mean of the weights after every step from an epoch on; before it, the weights themselves.

    The running statistics of batch normalisation are averaged like the weights.

    Args:
        start: the first epoch of the mean, from 0.
    """

    def __init__(self, start: int) -> None:
        super().__init__(use_buffers=True)
        self.start = start

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the weights to the mean, or begin it anew with them."""
        if self._average_model is not None and trainer.current_epoch < self.start:
            self._average_model.n_averaged.zero_()
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
