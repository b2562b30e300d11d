"""Check class counts, and compute losses in float32 or more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skinlab.errors import UserError


def full_precision(logits: Tensor) -> Tensor:
    """Return logits in float32 or float64: in bfloat16 a probability of 0.999 is 1."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def counts_tensor(class_counts: Sequence[int] | None, loss: str) -> Tensor:
    """Return the number of training images of each class as float64 `(C,)`.

    Args:
        class_counts: of the manifest, or the user's own.
        loss: its name in the config, for the message.

    Raises:
        UserError: there are no counts, only one, or a class without images.
    """
    if class_counts is None or len(class_counts) < 2:
        found = "none" if not class_counts else f"those of one class, {list(class_counts)}"
        raise UserError(f"loss={loss} needs class counts and got {found}: add labels or set loss.class_counts=[...]")
    if min(class_counts) <= 0:
        raise UserError(
            f"loss={loss}: loss.class_counts={list(class_counts)} has a class without training images: "
            "leave that class out or use loss=ce"
        )
    return torch.tensor(list(class_counts), dtype=torch.float64)
