"""Settings that cancel each other: refused where nothing could come of them, else a caution of one line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from skinlab.errors import UserError, nearest

# Setting → its least and its greatest value, and the one of them that is not allowed.
RANGES: dict[str, tuple[float, float, float | None]] = {
    "trainer.max_epochs": (1, math.inf, None),
    "trainer.accumulate_grad_batches": (1, math.inf, None),
    "trainer.log_every_n_steps": (1, math.inf, None),
    "trainer.limit_train_batches": (0, math.inf, 0),
    "trainer.limit_val_batches": (0, math.inf, 0),
    "callbacks.patience": (0, math.inf, None),
    "model.freeze_epochs": (0, math.inf, None),
    "model.ema_decay": (0, 1, 1),
    "model.dropout": (0, 1, 1),
    "augment.mixup": (0, math.inf, None),
    "augment.cutmix": (0, math.inf, None),
    "scheduler.warmup_epochs": (0, math.inf, None),
    "scheduler.min_ratio": (0, 1, None),
}
SCHEDULES = ("cosine", "constant")


def check_consistency(config: Mapping[str, Any]) -> None:
    """Refuse settings of a training or pretraining that are out of range or leave others without any effect.

    Raises:
        UserError: one of them.
    """
    for name, (low, high, excluded) in RANGES.items():
        if name.partition(".")[0] not in config:
            continue
        value = _at(config, name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not low <= value <= high or value == excluded:
            most = "" if high == math.inf else f" and {'below' if excluded == high else 'at most'} {high:g}"
            raise UserError(
                f"{name}={value}: give a number {'above' if excluded == low else 'of at least'} {low:g}{most}"
            )
    if (config["trainer"]["gradient_clip_val"] or 0) < 0:
        raise UserError(
            f"trainer.gradient_clip_val={config['trainer']['gradient_clip_val']}: give 0 (no clipping) or more"
        )
    for name in ("trainer.limit_train_batches", "trainer.limit_val_batches"):
        if isinstance(value := _at(config, name), float) and value > 1:
            raise UserError(f"{name}={value}: give a share from 0 to 1, or a whole number of batches")
    scheduler, epochs = config["scheduler"], config["trainer"]["max_epochs"]
    if scheduler["name"] not in SCHEDULES:
        hint = nearest(str(scheduler["name"]), SCHEDULES)
        raise UserError(f"scheduler.name={scheduler['name']}: no such schedule{hint}; choose {' or '.join(SCHEDULES)}")
    if scheduler["name"] == "constant" and scheduler["min_ratio"] != 1:
        raise UserError(
            f"scheduler.min_ratio={scheduler['min_ratio']}: a constant learning rate never falls; set it to 1, or "
            "scheduler=cosine"
        )
    if scheduler["warmup_epochs"] >= epochs:
        raise UserError(
            f"scheduler.warmup_epochs={scheduler['warmup_epochs']}: the learning rate never reaches optimizer.lr in "
            f"trainer.max_epochs={epochs}; lower it or raise trainer.max_epochs"
        )


def cautions(config: Mapping[str, Any], n_batches: int) -> Iterator[str]:
    """Yield a line for each setting that another one leaves without effect.

    Args:
        config: of a training or pretraining that :func:`check_consistency` has passed.
        n_batches: training batches of an epoch and process.

    Raises:
        UserError: the limit of the batches leaves none.
    """
    trainer, model = config["trainer"], config["model"]
    epochs, frozen = trainer["max_epochs"], model["freeze_epochs"]
    limit = trainer["limit_train_batches"]
    n_batches = min(n_batches, limit) if isinstance(limit, int) else int(n_batches * limit)
    if n_batches < 1:
        raise UserError(f"trainer.limit_train_batches={limit} leaves no batch of an epoch; raise it")
    steps = epochs * math.ceil(n_batches / trainer["accumulate_grad_batches"])
    if trainer["accumulate_grad_batches"] > n_batches:
        yield (
            f"trainer.accumulate_grad_batches={trainer['accumulate_grad_batches']}: an epoch has {n_batches} batches, "
            "and ends with a step"
        )
    for name in ("model.ema_decay", "semi.decay"):
        decay = _at(config, name) or 0.0
        if decay > 0 and (1 - decay) * steps < 1:
            yield f"{name}={decay}: {steps} steps are too few for this average, which stays near the initial weights"
    if _at(config, "semi.weight") == 0:
        yield "semi.weight=0: nothing is learned from the pool; semi=none costs less"
    if frozen >= epochs:
        yield f"model.freeze_epochs={frozen} of trainer.max_epochs={epochs}: only the head is trained, no fine-tuning"
        if config["optimizer"].get("layer_decay", 1.0) < 1:
            yield f"optimizer.layer_decay={config['optimizer']['layer_decay']}: no layer but the head is trained"
    yield from _epoch_cautions(config, epochs)


def _epoch_cautions(config: Mapping[str, Any], epochs: int) -> Iterator[str]:
    """Yield what the number of epochs leaves without effect."""
    of_epochs, patience = f"of trainer.max_epochs={epochs}", config["callbacks"]["patience"]
    every = _at(config, "probe.every_n_epochs") or config["trainer"]["check_val_every_n_epoch"]
    key = "probe.every_n_epochs" if "probe" in config else "trainer.check_val_every_n_epoch"
    looks = epochs if "probe" in config else epochs // every
    if patience >= max(looks - 1, 1):
        yield f"callbacks.patience={patience}: the {looks} values of the monitor are too few to ever stop early"
    if "probe" not in config and epochs % every:
        yield f"{key}={every}: the last {epochs % every} {of_epochs} are never validated, and can't be the best"
    if "probe" in config and every > 1 and 0 < patience < every:
        yield f"callbacks.patience={patience}: stops before a second probe, which {key}={every} brings"
    if "probe" in config and every > epochs:
        yield f"{key}={every}: only the last {of_epochs} is probed, and so it is the best"
    drw_start = _at(config, "loss.drw_start")
    if drw_start is not None and drw_start < 1 and drw_start * epochs > epochs - 1:
        yield f"loss.drw_start={drw_start}: no epoch {of_epochs} is left for its class weights"
    for name in ("ssl.warmup_epochs", "ssl.freeze_epochs"):
        if (value := _at(config, name)) is not None and value >= epochs:
            yield f"{name}={value}: lasts for all {of_epochs}"


def _at(config: Mapping[str, Any], name: str) -> Any:
    group, _, key = name.partition(".")
    return config.get(group, {}).get(key)
