"""Keep a run stopped that early stopping had ended before it is continued."""

from __future__ import annotations

import logging

import pytorch_lightning as pl
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

log = logging.getLogger(__name__)


class StayStopped(pl.Callback):
    """Trains no further epoch of a run that early stopping had ended before it was killed.

    Lightning restores the state of its `EarlyStopping`, but asks it only after another epoch.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop before the first epoch: checkpoints have been read by now."""
        for each in trainer.early_stopping_callbacks:
            if each.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
                trainer.should_stop = True
                log.info(
                    "callbacks.patience=%d ran out in epoch %d: no further epoch is trained",
                    each.patience,
                    each.stopped_epoch,
                )
