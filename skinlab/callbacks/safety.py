"""Write checkpoints atomically, and stop a training: at a loss that is not finite, a collapse, or a signal."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason
from pytorch_lightning.plugins.io import TorchCheckpointIO

from skinlab.errors import UserError
from skinlab.files import check_held

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, then renames it: a full disk costs the new one, not the last good one."""

    folder: Path | None = None  # of the last one written

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint whole or not at all.

        Raises:
            UserError: it can't be written; the existing file is unchanged.
        """
        target = Path(path)
        self.folder = target.parent
        check_held(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
            temporary.replace(target)
        except (OSError, RuntimeError) as error:
            fault = error if isinstance(error, OSError) else error.__context__  # which torch replaces by its own
            if not isinstance(fault, OSError):
                raise
            kept = "; the last good one is kept" if target.exists() else ""
            raise UserError(
                f"can't write the checkpoint {target} ({fault.strerror or fault}){kept}: free some space, then "
                f"continue with hydra.run.dir={target.parent.parent}"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint beside the last one written; one from which a run continues may name any other file."""
        if Path(path).parent == self.folder and Path(path).suffix == ".ckpt":
            super().remove_checkpoint(path)


class FiniteLoss(pl.Callback):
    """Stops at a loss that is not finite, with the batch and learning rate for finding the cause.

    Args:
        every_n_steps: how often the loss is read from a GPU, which waits for it; on a CPU every step.
    """

    def __init__(self, every_n_steps: int = 20) -> None:
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the loss of the step.

        Raises:
            UserError: it is NaN or infinite.
        """
        loss = outputs["loss"]
        if loss.is_cuda and batch_idx % self.every_n_steps:
            return
        if not torch.isfinite(loss):
            self._stop(trainer, pl_module, float(loss), batch, batch_idx)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the weights by the validation loss, before any checkpoint is made of them."""
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not trainer.sanity_checking and not torch.isfinite(loss):
            self._stop(trainer, pl_module, float(loss), None, None)

    def _stop(
        self, trainer: pl.Trainer, module: pl.LightningModule, loss: float, batch: Any, batch_idx: int | None
    ) -> None:
        rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
        broken = [name for name, p in module.named_parameters() if not torch.isfinite(p).all()]
        where = "in validation" if batch_idx is None else f"in batch {batch_idx}"
        rows = "" if batch is None else f", rows {batch['row'][:8].tolist()}..."
        weights = (
            f"{len(broken)} parameters are not finite (first: {broken[0]})" if broken else "the weights are finite"
        )
        raise UserError(
            f"the loss became {loss} in epoch {trainer.current_epoch} {where}{rows}; learning rate {max(rates):.2e}, "
            f"precision {trainer.precision}, {weights}; try a lower optimizer.lr, trainer.precision=32-true or "
            "trainer.gradient_clip_val=1; the checkpoints before it are good"
        )


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


class KeepSignals(pl.Callback):
    """Keeps the SIGTERM handler of this process, which Lightning replaces by one that broadcasts to other ranks.

    They may be in the midst of another exchange, so that all of them would wait for ever; and it makes the end of a
    fit look like a success.
    """

    def __init__(self) -> None:
        self.handler, self.started = signal.getsignal(signal.SIGTERM), False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the handler: this is the first hook after Lightning has set its own."""
        self.started = True  # a checkpoint has been read by now
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.handler)
