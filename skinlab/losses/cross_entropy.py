"""Cross-entropy, with or without class weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from skinlab.losses.inputs import counts_tensor, full_precision
from skinlab.settings.types import BelowOne


def cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross-entropy of each image `(B,)`, times the weight of its class: ``-w[y] sum_c q_c log p_c``.

    Args:
        logits: `(B, C)`.
        target: class numbers `(B,)`.
        weight: of each class `(C,)`; None for equal weights.
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al., 2016), 0 to 1.

    >>> import torch
    >>> round(cross_entropy_loss(torch.zeros(1, 4), torch.tensor([3])).item(), 4)  # log 4
    1.3863
    """
    values = F.cross_entropy(full_precision(logits), target, label_smoothing=label_smoothing, reduction="none")
    return values if weight is None else weight.to(values.dtype)[target] * values


def inverse_frequency_weights(class_counts: Tensor, power: float = 1.0) -> Tensor:
    """Return class weights ``n_c ** -power``, scaled so that the training images weigh one on average.

    Args:
        class_counts: training images of each class `(C,)`.
        power: 0 weighs all images equally, 1 gives every class the same total weight.

    >>> import torch
    >>> inverse_frequency_weights(torch.tensor([30.0, 10.0]))
    tensor([0.6667, 2.0000])
    """
    weights = class_counts**-power
    return weights * class_counts.sum() / (weights * class_counts).sum()


class CrossEntropy(nn.Module):
    """Cross-entropy without class weights, averaged over images.

    Args:
        class_counts: not used; every loss takes them.
        label_smoothing: share of the target spread evenly over all classes.
    """

    corrects_imbalance: ClassVar[bool] = False

    def __init__(self, class_counts: Sequence[int] | None = None, label_smoothing: BelowOne = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits `(B, C)` and targets `(B,)`."""
        return cross_entropy_loss(logits, target, label_smoothing=self.label_smoothing).mean()


class WeightedCrossEntropy(nn.Module):
    """Cross-entropy weighted by inverse class frequency, averaged over images.

    Args:
        class_counts: training images of each class.
        power: 0 is no weighting, 1 the full one.
        label_smoothing: share of the target spread evenly over all classes.

    Raises:
        UserError: no class counts.
    """

    corrects_imbalance: ClassVar[bool] = True
    weight: Tensor

    def __init__(
        self, class_counts: Sequence[int] | None = None, power: float = 1.0, label_smoothing: BelowOne = 0.0
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        weight = inverse_frequency_weights(counts_tensor(class_counts, "weighted_ce"), power)
        self.register_buffer("weight", weight.float(), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits `(B, C)` and targets `(B,)`."""
        return cross_entropy_loss(logits, target, weight=self.weight, label_smoothing=self.label_smoothing).mean()
