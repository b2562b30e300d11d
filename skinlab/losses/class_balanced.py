"""Class-balanced loss: class weights from the effective number of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from skinlab.losses.focal import focal_loss
from skinlab.losses.inputs import counts_tensor
from skinlab.settings.types import BelowOne, NotNegative


def effective_number_weights(class_counts: Tensor, beta: float = 0.9999) -> Tensor:
    """Return class weights ``(1 - beta) / (1 - beta ** n_c)``, scaled to sum to C (Cui et al., 2019).

    Args:
        class_counts: training images of each class `(C,)`.
        beta: 0 weighs all classes equally; towards 1 the weights become the inverse frequency.

    >>> effective_number_weights(torch.tensor([1.0, 2.0]), beta=0.5)  # as 1 to 2/3
    tensor([1.2000, 0.8000])
    """
    weights = 1 / -torch.expm1(class_counts * torch.log(torch.tensor(beta, dtype=class_counts.dtype)))
    return weights * len(weights) / weights.sum()


class ClassBalanced(nn.Module):
    """Class-balanced cross-entropy, or with a `gamma` above 0 class-balanced focal loss, averaged over images.

    Args:
        class_counts: training images of each class.
        beta: of the effective number; the paper tries 0.9 to 0.9999.
        gamma: 0 is cross-entropy.

    Raises:
        UserError: no class counts.
    """

    corrects_imbalance: ClassVar[bool] = True
    weight: Tensor

    def __init__(
        self, class_counts: Sequence[int] | None = None, beta: BelowOne = 0.9999, gamma: NotNegative = 0.0
    ) -> None:
        super().__init__()
        self.gamma = gamma
        weight = effective_number_weights(counts_tensor(class_counts, "class_balanced"), beta)
        self.register_buffer("weight", weight.float(), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits `(B, C)` and targets `(B,)`."""
        return focal_loss(logits, target, gamma=self.gamma, alpha=self.weight).mean()
