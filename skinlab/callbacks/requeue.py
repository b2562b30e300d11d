"""Write a checkpoint in mid-epoch at SLURM's signal, requeue the job, and go on with the epoch from there."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist

from skinlab.errors import UserError
from skinlab.processes.requeue import requeue


class RequeueCheckpoint(pl.Callback):
    """Writes a checkpoint after the optimiser step during which the signal came, by all processes at the same step.

    Lightning writes its own within the signal's handler, thus in the midst of a step, and at another one on each
    process. The checkpoint holds the random numbers' state of each process, so that the weights after the epoch are
    those of an uninterrupted run. The means ``train/...`` of that epoch are those of its batches after the checkpoint.

    Args:
        path: of the checkpoint; removed when the training has ended.
        signal_name: such as ``USR1``; None for a training that no signal requeues.
    """

    def __init__(self, path: Path, signal_name: str | None = None) -> None:
        self.path, self.signal = path, signal.Signals[f"SIG{signal_name}"] if signal_name else None
        self.received, self.former = False, signal.getsignal(self.signal) if self.signal else None
        # In the checkpoint of a mid-epoch only: batches of the epoch before it, and each process's random numbers.
        self.batches, self.random = 0, list[dict[str, Any]]()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the signal from now on."""
        if self.signal:
            signal.signal(self.signal, self._receive)

    def _receive(self, *_: object) -> None:
        self.received = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the epoch of the checkpoint: prepare it as at its start, then restore what has changed since.

        Raises:
            UserError: the checkpoint was written by another number of processes.
        """
        if not self.random:
            return
        if len(self.random) != trainer.world_size:
            raise UserError(
                f"{self.path} was written in mid-epoch by {len(self.random)} processes, now there are "
                f"{trainer.world_size}: start as many, or delete it to repeat that epoch"
            )
        for each in trainer.callbacks:  # type: ignore[attr-defined]
            each.on_train_epoch_start(trainer, pl_module)
        pl_module.on_train_epoch_start()
        trainer.train_dataloader.skip(self.batches)  # type: ignore[union-attr]
        _restore_random(self.random[trainer.global_rank], pl_module)
        self.random = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the checkpoint and requeue, if a process has received the signal and the optimiser has stepped."""
        if not self.signal or trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if trainer.strategy.reduce_boolean_decision(self.received, all=False):
            self.batches, self.random = batch_idx + 1, _gather(_random_state(pl_module))
            trainer.save_checkpoint(self.path)
            self.random, self.received = [], False
            requeue()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the checkpoint; a signal that came after the last step requeues now."""
        if self.signal:
            signal.signal(self.signal, self.former)
        if trainer.is_global_zero:
            self.path.unlink(missing_ok=True)
        if self.received:
            requeue()

    def state_dict(self) -> dict[str, Any]:
        """Return how far the epoch is, and the random numbers' state; empty but for a checkpoint of this callback."""
        return {"batches": self.batches, "random": self.random}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self.batches, self.random = state_dict["batches"], state_dict["random"]


def _random_state(module: pl.LightningModule) -> dict[str, Any]:
    state: dict[str, Any] = {"torch": torch.get_rng_state()}
    if module.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(module.device)
    if (mixing := getattr(module, "mixing_rng", None)) is not None:
        state["mixing"] = mixing.bit_generator.state
    return state


def _restore_random(state: dict[str, Any], module: pl.LightningModule) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), module.device)
    if "mixing" in state:
        module.mixing_rng.bit_generator.state = state["mixing"]  # type: ignore[union-attr]


def _gather(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the states of all processes, in the order of their ranks."""
    if not (dist.is_available() and dist.is_initialized()):
        return [state]
    states: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(states, state)
    return states
