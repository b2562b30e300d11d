"""Find settings that leave others without effect."""

from __future__ import annotations

import math
from collections.abc import Iterator

from skinlab.errors import UserError
from skinlab.settings.commands.pretrain import PretrainSettings
from skinlab.settings.run import RunSettings


def limited(n_batches: int, limit: float) -> int:
    """Return the batches of an epoch that a limit leaves: a whole number of them, or a share.

    >>> limited(10, 4), limited(10, 0.25), limited(10, 1.0)
    (4, 2, 10)
    """
    return min(n_batches, limit) if isinstance(limit, int) else int(n_batches * limit)


def cautions(settings: RunSettings, n_batches: int) -> Iterator[str]:
    """Yield a line for each setting that another one leaves without effect.

    Args:
        settings: of a training or pretraining.
        n_batches: training batches of an epoch and process.

    Raises:
        UserError: the limit of the batches leaves none.
    """
    trainer, frozen = settings.trainer, settings.model.freeze_epochs
    epochs, limit = trainer.max_epochs, trainer.limit_train_batches
    n_batches = limited(n_batches, limit)
    if n_batches < 1:
        raise UserError(f"trainer.limit_train_batches={limit} leaves no batch of an epoch; raise it")
    steps = epochs * math.ceil(n_batches / trainer.accumulate_grad_batches)
    if trainer.accumulate_grad_batches > n_batches:
        yield (
            f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches}: an epoch has {n_batches} batches, "
            "and ends with a step"
        )
    for name in ("model.ema_decay", "semi.decay"):
        decay = settings.find(name) or 0.0
        if decay > 0 and (1 - decay) * steps < 1:
            yield f"{name}={decay}: {steps} steps are too few for this average, which stays near the initial weights"
    if settings.find("semi.weight") == 0:
        yield "semi.weight=0: nothing is learned from the pool; semi=none costs less"
    if frozen >= epochs:
        yield f"model.freeze_epochs={frozen} of trainer.max_epochs={epochs}: only the head is trained, no fine-tuning"
        if settings.optimizer.layer_decay < 1:
            yield f"optimizer.layer_decay={settings.optimizer.layer_decay}: no layer but the head is trained"
    yield from _epoch_cautions(settings, epochs)


def _epoch_cautions(settings: RunSettings, epochs: int) -> Iterator[str]:
    """Yield a line for each setting that the number of epochs leaves without effect."""
    of_epochs, patience = f"of trainer.max_epochs={epochs}", settings.callbacks.patience
    probed = isinstance(settings, PretrainSettings)
    every = settings.find("probe.every_n_epochs") or settings.trainer.check_val_every_n_epoch
    every = 1 if every == "auto" else every
    key = "probe.every_n_epochs" if probed else "trainer.check_val_every_n_epoch"
    n_values = epochs if probed else epochs // every
    if patience >= max(n_values - 1, 1):
        yield f"callbacks.patience={patience}: the {n_values} values of the monitor are too few to ever stop early"
    if not probed and epochs % every:
        yield f"{key}={every}: the last {epochs % every} {of_epochs} are never validated, and can't be the best"
    if probed and every > 1 and 0 < patience < every:
        yield f"callbacks.patience={patience}: stops before a second probe, which {key}={every} brings"
    if probed and every > epochs:
        yield f"{key}={every}: only the last {of_epochs} is probed, and so it is the best"
    drw_start = settings.find("loss.drw_start")
    if drw_start is not None and drw_start < 1 and drw_start * epochs > epochs - 1:
        yield f"loss.drw_start={drw_start}: no epoch {of_epochs} is left for its class weights"
    for name in ("ssl.warmup_epochs", "ssl.freeze_epochs"):
        if (value := settings.find(name)) is not None and value >= epochs:
            yield f"{name}={value}: lasts for all {of_epochs}"
