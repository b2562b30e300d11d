"""LDAM-DRW: larger margins for rarer classes, and class weights late in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from skinlab.losses.class_balanced import effective_number_weights
from skinlab.losses.cross_entropy import cross_entropy_loss
from skinlab.losses.inputs import counts_tensor, full_precision
from skinlab.settings.types import BelowOne, Share


def ldam_margins(class_counts: Tensor, max_margin: float = 0.5) -> Tensor:
    """Return margins ``n_c ** -1/4``, scaled so that the rarest class has the largest one.

    Args:
        class_counts: training images of each class `(C,)`.
        max_margin: of the rarest class.

    >>> import torch
    >>> ldam_margins(torch.tensor([16.0, 1.0]))
    tensor([0.2500, 0.5000])
    """
    return max_margin * (class_counts.min() / class_counts) ** 0.25


def ldam_loss(
    logits: Tensor,
    target: Tensor,
    margins: Tensor,
    *,
    scale: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of each image `(B,)`, the target's logit lowered by ``scale * margin``.

    See Cao et al., 2019. The paper multiplies cosines by a scale of 30 and the margin with them. Here the network's
    logits are used as they are, so that their softmax means the same in training and in prediction.

    Args:
        logits: `(B, C)`.
        target: class numbers `(B,)`.
        margins: of each class `(C,)`.
        scale: of the margins, in units of a logit.
        weight: of each class `(C,)`; None for equal weights.
    """
    logits = full_precision(logits)
    lowered = scale * margins.to(logits.dtype) * F.one_hot(target, logits.shape[1])
    return cross_entropy_loss(logits - lowered, target, weight=weight)


class LDAM(nn.Module):
    """LDAM with deferred re-weighting, averaged over images.

    Late in training, images are weighted by the effective number of their class. In validation they never are, so that
    the losses of two epochs can be compared.

    Args:
        class_counts: training images of each class.
        max_margin: of the rarest class.
        scale: of the margins. The paper's 30 belongs to logits within ±30 (a cosine head); those of a plain head
            stay within about ±10.
        drw_start: share of the training after which images are weighted (the paper's 160 of 200 epochs); 1 is never.
        beta: of the effective number.

    Raises:
        UserError: no class counts.
    """

    corrects_imbalance: ClassVar[bool] = True
    margins: Tensor
    weight: Tensor

    def __init__(
        self,
        class_counts: Sequence[int] | None = None,
        max_margin: float = 0.5,
        scale: float = 10.0,
        drw_start: Share = 0.8,
        beta: BelowOne = 0.9999,
    ) -> None:
        super().__init__()
        counts = counts_tensor(class_counts, "ldam")
        self.scale, self.drw_start, self.reweights = scale, drw_start, drw_start == 0
        self.register_buffer("margins", ldam_margins(counts, max_margin).float(), persistent=False)
        self.register_buffer("weight", effective_number_weights(counts, beta).float(), persistent=False)

    def set_epoch(self, epoch: int, max_epochs: int | None) -> None:
        """Turn the weights on once `drw_start` of the training is over; without a known end they stay as they are."""
        if max_epochs is not None and max_epochs > 0:
            self.reweights = epoch >= self.drw_start * max_epochs

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits `(B, C)` and targets `(B,)`."""
        weight = self.weight if self.reweights and self.training else None
        return ldam_loss(logits, target, self.margins, scale=self.scale, weight=weight).mean()
