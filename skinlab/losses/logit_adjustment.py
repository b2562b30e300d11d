"""Losses that add the class prior to the logits in training, so that the bare logits are those of even classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from skinlab.losses.basis import counts_tensor, full_precision
from skinlab.losses.cross_entropy import cross_entropy_loss


def logit_adjusted_loss(
    logits: Tensor, target: Tensor, class_counts: Tensor, *, tau: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy of ``logits + tau log prior`` (Menon et al., 2021).

    Args:
        logits: `(B, C)`.
        target: class numbers `(B,)`.
        class_counts: training images of each class `(C,)`.
        tau: 0 is cross-entropy, 1 is consistent for the balanced error.
        reduction: `mean` over images, `sum` or `none`.

    >>> import torch
    >>> counts = torch.tensor([30, 10])
    >>> round(logit_adjusted_loss(torch.zeros(1, 2), torch.tensor([1]), counts).item(), 4)  # -log(10 / 40)
    1.3863
    """
    logits = full_precision(logits)
    counts = class_counts.to(logits.dtype)
    return cross_entropy_loss(logits + tau * (counts / counts.sum()).log(), target, reduction=reduction)


def balanced_softmax_loss(logits: Tensor, target: Tensor, class_counts: Tensor, *, reduction: str = "mean") -> Tensor:
    """Cross-entropy of ``n_c exp(logit_c)``, normalised (Ren et al., 2020): logit adjustment with tau 1.

    Args:
        logits: `(B, C)`.
        target: class numbers `(B,)`.
        class_counts: training images of each class `(C,)`.
        reduction: `mean` over images, `sum` or `none`.
    """
    return logit_adjusted_loss(logits, target, class_counts, reduction=reduction)


class LogitAdjusted(nn.Module):
    """Logit-adjusted cross-entropy.

    Args:
        class_counts: training images of each class.
        tau: strength of the adjustment.

    Raises:
        UserError: no class counts.
    """

    corrects_imbalance: ClassVar[bool] = True
    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int] | None = None, tau: float = 1.0) -> None:
        super().__init__()
        self.tau = tau
        self.register_buffer("class_counts", counts_tensor(class_counts, "logit_adjusted").float(), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of `(B, C)` logits and `(B,)` targets."""
        return logit_adjusted_loss(logits, target, self.class_counts, tau=self.tau)


class BalancedSoftmax(nn.Module):
    """Balanced softmax.

    Args:
        class_counts: training images of each class.

    Raises:
        UserError: no class counts.
    """

    corrects_imbalance: ClassVar[bool] = True
    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int] | None = None) -> None:
        super().__init__()
        self.register_buffer("class_counts", counts_tensor(class_counts, "balanced_softmax").float(), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of `(B, C)` logits and `(B,)` targets."""
        return balanced_softmax_loss(logits, target, self.class_counts)
