"""Stop a pretraining whose features have collapsed."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl

from skinlab.errors import UserError


class StopAtCollapse(pl.Callback):
    """Stops at a collapse found by the module's ``diagnosis`` at the end of an epoch, before its checkpoint."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the epoch.

        Raises:
            UserError: the features have collapsed.
        """
        diagnose: Callable[[], str | None] = pl_module.diagnosis  # type: ignore[assignment]
        if diagnosis := diagnose():
            kept = "; the checkpoints of the epochs before it are kept" if trainer.current_epoch else ""
            raise UserError(f"epoch {trainer.current_epoch}: {diagnosis}{kept}")
