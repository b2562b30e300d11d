"""Optimiser groups and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from timm.optim import create_optimizer_v2
from torch import nn

from skinlab.errors import UserError, nearest


def build_optimizer(
    network: nn.Module, settings: Mapping[str, Any], *, batch_size: int | None = None
) -> torch.optim.Optimizer:
    """Build an optimiser without weight decay (and adaptation by LARS) of biases and norms.

    Args:
        network: a timm network, which has the order of its layers for ``layer_decay``.
        settings: ``name`` (any of timm's: adamw, sgd, ...), ``lr``, ``weight_decay``, ``layer_decay`` (each layer's
            learning rate is the next one's times this factor; 1 for none), ``lr_reference_batch`` (the batch size of
            ``lr``, which is scaled in proportion to `batch_size`), and the optimiser's own arguments.
        batch_size: images of an optimiser step, of all processes; for ``lr_reference_batch`` only.

    Raises:
        UserError: the optimiser is unknown, or does not take a setting.
    """
    settings = dict(settings)
    name, lr, layer_decay = settings.pop("name"), settings.pop("lr"), settings.pop("layer_decay", 1.0)
    if (reference := settings.pop("lr_reference_batch", None)) is not None:
        if batch_size is None:
            raise UserError(f"optimizer.lr_reference_batch={reference} is for pretraining only; set it to null")
        lr *= batch_size / reference
    decay = layer_decay if layer_decay < 1 else None
    if str(name).lower() == "adamw":
        settings.setdefault("fused", True)  # one pass over the weights: half the time of a step or less
    try:
        optimizer: torch.optim.Optimizer = create_optimizer_v2(network, opt=name, lr=lr, layer_decay=decay, **settings)
    except (ValueError, AssertionError, TypeError) as error:
        raise UserError(f"optimizer.name={name}: {error}{nearest(str(name), ['adamw', 'sgd'])}") from None
    # Lightning unscales and clips the gradients; it refuses to clip where a fused step says that it would unscale them.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    for group in optimizer.param_groups:  # timm applies the scale in its own schedulers only
        group["lr"] = lr * group.get("lr_scale", 1.0)
    return optimizer


def schedule_factor(step: int, *, name: str, total_steps: int, warmup_steps: int, min_ratio: float) -> float:
    """Return the learning rate at an optimiser step as a share of its peak: linear warm-up, then cosine or constant.

    >>> [round(schedule_factor(s, name="cosine", total_steps=5, warmup_steps=1, min_ratio=0.0), 2) for s in range(6)]
    [1.0, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if name == "constant":
        return 1.0
    progress = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


def with_schedule(
    optimizer: torch.optim.Optimizer, settings: Mapping[str, Any], *, total_steps: int, max_epochs: int | None
) -> OptimizerLRSchedulerConfig:
    """Return an optimiser with a schedule that changes with every optimiser step, for ``configure_optimizers``.

    Args:
        optimizer: at its peak learning rates.
        settings: ``name`` (cosine or constant), ``warmup_epochs``, ``min_ratio``.
        total_steps: optimiser steps of the run.
        max_epochs: of the run.
    """
    curve = {
        "name": settings["name"],
        "min_ratio": settings["min_ratio"],
        "total_steps": total_steps,
        "warmup_steps": round(settings["warmup_epochs"] * total_steps / max(max_epochs or 1, 1)),
    }
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule_factor(step, **curve))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
