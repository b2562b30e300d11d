"""What the losses share: full precision, class counts, reduction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skinlab.errors import UserError


def full_precision(logits: Tensor) -> Tensor:
    """Return logits in float32 or better: in bfloat16 a probability of 0.999 is 1."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def reduce(values: Tensor, reduction: str) -> Tensor:
    """Reduce the losses `(B,)` of a batch by `mean` or `sum`, or return them by `none`.

    A weighted loss, too, is averaged over images and not over weights: then the mean over two halves of a batch, or
    over two ranks, is the mean over all.
    """
    match reduction:
        case "mean":
            return values.mean()
        case "sum":
            return values.sum()
        case "none":
            return values
    raise ValueError(f"reduction={reduction} is unknown: use mean, sum or none")


def counts_tensor(class_counts: Sequence[int] | None, loss: str) -> Tensor:
    """Return the training images of each class as float64 `(C,)`.

    Args:
        class_counts: from the manifest, or the user's own.
        loss: its name in the config, for the message.

    Raises:
        UserError: there are no counts, but one, or a class without images.
    """
    if class_counts is None or len(class_counts) < 2:
        given = "none" if not class_counts else f"those of one class, {list(class_counts)}"
        raise UserError(f"loss={loss} needs class counts and got {given}: add labels or set loss.class_counts=[...]")
    if min(class_counts) <= 0:
        raise UserError(
            f"loss={loss}: class_counts={list(class_counts)} has a class without training images: "
            "leave that class out or use loss=ce"
        )
    return torch.tensor(list(class_counts), dtype=torch.float64)
