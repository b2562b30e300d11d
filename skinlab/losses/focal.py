"""Focal loss: images that are classified confidently and correctly count less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from skinlab.errors import UserError
from skinlab.losses.inputs import full_precision
from skinlab.settings.types import NotNegative


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: Tensor | None = None) -> Tensor:
    """Return the focal loss of each image `(B,)` (Lin et al., 2017): ``-alpha[y] (1 - p_y) ** gamma log p_y``.

    Args:
        logits: `(B, C)`.
        target: class numbers `(B,)`.
        gamma: 0 is cross-entropy; the paper's best is 2.
        alpha: weight of each class `(C,)`; None for equal weights.

    >>> round(focal_loss(torch.zeros(1, 2), torch.tensor([0])).item(), 4)  # 0.5 ** 2 * log 2
    0.1733
    """
    log_p = -F.cross_entropy(full_precision(logits), target, reduction="none")
    values = -focus(log_p, gamma) * log_p
    return values if alpha is None else alpha.to(values.dtype)[target] * values


def focus(log_p: Tensor, gamma: float) -> Tensor:
    """Return ``(1 - p) ** gamma`` from log-probabilities of any shape.

    Clamped above zero, where the slope is infinite for a gamma below one and would turn the gradient into NaN.
    """
    return (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).eps) ** gamma


class Focal(nn.Module):
    """Focal loss, averaged over images.

    Args:
        class_counts: only their number is compared with the length of `alpha`.
        gamma: 0 is cross-entropy.
        alpha: a weight for each class, in the order of the classes.

    Raises:
        UserError: alpha has another length than there are classes.
    """

    corrects_imbalance: ClassVar[bool] = True
    alpha: Tensor | None

    def __init__(
        self, class_counts: Sequence[int] | None = None, gamma: NotNegative = 2.0, alpha: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if alpha is not None and class_counts is not None and len(alpha) != len(class_counts):
            raise UserError(f"loss.alpha has {len(alpha)} weights for {len(class_counts)} classes: give one a class")
        self.gamma = gamma
        self.register_buffer("alpha", None if alpha is None else torch.tensor(list(alpha)), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits `(B, C)` and targets `(B,)`."""
        return focal_loss(logits, target, gamma=self.gamma, alpha=self.alpha).mean()
