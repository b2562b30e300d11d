"""Logit adjustment and balanced softmax: the log class prior is added to the logits in training only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from skinlab.losses.cross_entropy import cross_entropy_loss
from skinlab.losses.inputs import counts_tensor, full_precision


def logit_adjusted_loss(logits: Tensor, target: Tensor, class_counts: Tensor, *, tau: float = 1.0) -> Tensor:
    """Return the cross-entropy of each image `(B,)` for ``logits + tau log prior`` (Menon et al., 2021).

    Args:
        logits: `(B, C)`.
        target: class numbers `(B,)`.
        class_counts: training images of each class `(C,)`.
        tau: 0 is cross-entropy, 1 is consistent for the balanced error.

    >>> import torch
    >>> counts = torch.tensor([30, 10])
    >>> round(logit_adjusted_loss(torch.zeros(1, 2), torch.tensor([1]), counts).item(), 4)  # -log(10 / 40)
    1.3863
    """
    logits = full_precision(logits)
    counts = class_counts.to(logits.dtype)
    return cross_entropy_loss(logits + tau * (counts / counts.sum()).log(), target)


def balanced_softmax_loss(logits: Tensor, target: Tensor, class_counts: Tensor) -> Tensor:
    """Return the loss of each image `(B,)` by balanced softmax (Ren et al., 2020): logit adjustment with tau 1.

    The probabilities are ``n_c exp(logit_c)``, normalised.

    Args:
        logits: `(B, C)`.
        target: class numbers `(B,)`.
        class_counts: training images of each class `(C,)`.
    """
    return logit_adjusted_loss(logits, target, class_counts)


class LogitAdjusted(nn.Module):
    """Logit-adjusted cross-entropy, averaged over images.

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
        """Return the mean loss of logits `(B, C)` and targets `(B,)`."""
        return logit_adjusted_loss(logits, target, self.class_counts, tau=self.tau).mean()


class BalancedSoftmax(nn.Module):
    """Balanced softmax, averaged over images.

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
        """Return the mean loss of logits `(B, C)` and targets `(B,)`."""
        return balanced_softmax_loss(logits, target, self.class_counts).mean()
