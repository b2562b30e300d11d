"""Asymmetric loss: the target class and the others are focused on differently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from skinlab.losses.basis import full_precision, reduce
from skinlab.losses.cross_entropy import checked_smoothing
from skinlab.losses.focal import checked_gamma, focus


def asymmetric_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma_pos: float = 0.0,
    gamma_neg: float = 4.0,
    label_smoothing: float = 0.1,
    reduction: str = "mean",
) -> Tensor:
    """Asymmetric loss of Ridnik et al. (2021), in the softmax form of its authors' code for one label an image.

    ``-q_y (1 - p_y) ** gamma_pos log p_y - sum over c != y of q_c p_c ** gamma_neg log p_c``, where q is the smoothed
    target: without smoothing the other classes have no part, and it is the focal loss with `gamma_pos`.

    Args:
        logits: `(B, C)`.
        target: class numbers `(B,)`.
        gamma_pos: focus on the target class.
        gamma_neg: focus on the others.
        label_smoothing: share of the target spread evenly over all classes.
        reduction: `mean` over images, `sum` or `none`.

    >>> import torch
    >>> round(asymmetric_loss(torch.zeros(1, 2), torch.tensor([0])).item(), 4)  # (0.95 + 0.05 / 16) log 2
    0.6607
    """
    log_p = F.log_softmax(full_precision(logits), dim=1)
    is_target = F.one_hot(target, logits.shape[1])
    smoothed = is_target * (1 - label_smoothing) + label_smoothing / logits.shape[1]
    focused = is_target * focus(log_p, gamma_pos) + (1 - is_target) * (gamma_neg * log_p).exp()
    return reduce(-(smoothed * focused * log_p).sum(dim=1), reduction)


class Asymmetric(nn.Module):
    """Asymmetric loss.

    Args:
        class_counts: not used; taken so that every loss is built alike.
        gamma_pos: focus on the target class.
        gamma_neg: focus on the others.
        label_smoothing: share of the target spread evenly over all classes.
    """

    corrects_imbalance: ClassVar[bool] = True

    def __init__(
        self,
        class_counts: Sequence[int] | None = None,
        gamma_pos: float = 0.0,
        gamma_neg: float = 4.0,
        label_smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        self.gamma_pos = checked_gamma(gamma_pos, "gamma_pos")
        self.gamma_neg = checked_gamma(gamma_neg, "gamma_neg")
        self.label_smoothing = checked_smoothing(label_smoothing)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of `(B, C)` logits and `(B,)` targets."""
        return asymmetric_loss(
            logits,
            target,
            gamma_pos=self.gamma_pos,
            gamma_neg=self.gamma_neg,
            label_smoothing=self.label_smoothing,
        )
