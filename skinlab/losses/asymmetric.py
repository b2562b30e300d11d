"""Asymmetric loss: a focal loss with one exponent for the target class and one for all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from skinlab.losses.focal import focus
from skinlab.losses.inputs import full_precision
from skinlab.settings.types import BelowOne, NotNegative


def asymmetric_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma_pos: float = 0.0,
    gamma_neg: float = 4.0,
    label_smoothing: float = 0.1,
) -> Tensor:
    """Return the asymmetric loss of each image `(B,)` (Ridnik et al., 2021).

    The form is the one of the authors' code for one label per image, with a softmax:

    ``-q_y (1 - p_y) ** gamma_pos log p_y - sum over c != y of q_c p_c ** gamma_neg log p_c``, where q is the smoothed
    target. Without smoothing the other classes contribute nothing, and it is the focal loss with `gamma_pos`.

    Args:
        logits: `(B, C)`.
        target: class numbers `(B,)`.
        gamma_pos: exponent of the target class.
        gamma_neg: exponent of the other classes.
        label_smoothing: share of the target spread evenly over all classes.

    >>> import torch
    >>> round(asymmetric_loss(torch.zeros(1, 2), torch.tensor([0])).item(), 4)  # (0.95 + 0.05 / 16) log 2
    0.6607
    """
    log_p = F.log_softmax(full_precision(logits), dim=1)
    is_target = F.one_hot(target, logits.shape[1])
    smoothed = is_target * (1 - label_smoothing) + label_smoothing / logits.shape[1]
    focused = is_target * focus(log_p, gamma_pos) + (1 - is_target) * (gamma_neg * log_p).exp()
    return -(smoothed * focused * log_p).sum(dim=1)


class Asymmetric(nn.Module):
    """Asymmetric loss, averaged over images.

    Args:
        class_counts: not used; every loss takes them.
        gamma_pos: exponent of the target class.
        gamma_neg: exponent of the other classes.
        label_smoothing: share of the target spread evenly over all classes.
    """

    corrects_imbalance: ClassVar[bool] = True

    def __init__(
        self,
        class_counts: Sequence[int] | None = None,
        gamma_pos: NotNegative = 0.0,
        gamma_neg: NotNegative = 4.0,
        label_smoothing: BelowOne = 0.1,
    ) -> None:
        super().__init__()
        self.gamma_pos = gamma_pos
        self.gamma_neg = gamma_neg
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits `(B, C)` and targets `(B,)`."""
        return asymmetric_loss(
            logits,
            target,
            gamma_pos=self.gamma_pos,
            gamma_neg=self.gamma_neg,
            label_smoothing=self.label_smoothing,
        ).mean()
