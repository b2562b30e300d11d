"""FixMatch: a confident prediction for the weak view of a pool image is the pseudo-label of its strong view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field
from torch import Tensor, nn

from skinlab.errors import UserError
from skinlab.models.strategy import Loss, PseudoLabels, Strategy, Weight
from skinlab.semisup.alignment import ClassThresholds, DistributionAlignment, prior_tensor
from skinlab.semisup.batch_norm import keep_running_statistics
from skinlab.settings.types import NotNegative, Share


def pseudo_label_loss(logits: Tensor, label: Tensor, accepted: Tensor) -> Tensor:
    """Return the cross-entropy with the accepted pseudo-labels, averaged over all images.

    Args:
        logits: of the strong views `(P, C)`.
        label: pseudo-labels `(P,)`.
        accepted: which of them count `(P,)`.
    """
    values = F.cross_entropy(logits.float(), label, reduction="none")
    return torch.where(accepted, values, 0.0).mean()


class FixMatch(Strategy):
    """FixMatch (Sohn et al., 2020, arXiv 2001.07685) for skewed classes.

    Args:
        prior: class shares of the pool, for alignment and thresholds.
        weight: of the pool's loss, the paper's lambda.
        ramp_share: share of the run's steps over which the weight rises from 0; 0 in the paper, since the number of
            accepted images rises by itself.
        threshold: confidence from which a pseudo-label is accepted, tau; above 1 none is.
        least_threshold: the lowest threshold of a class (:func:`class_thresholds`).
        alignment: whether predictions are aligned with the prior first.
        momentum: of the running means of alignment and thresholds; .99 is about ReMixMatch's mean over 128 batches.

    Raises:
        UserError: `least_threshold` is above `threshold`.
    """

    def __init__(
        self,
        prior: Sequence[float],
        *,
        weight: Weight = 1.0,
        ramp_share: Share = 0.0,
        threshold: Annotated[float, Field(ge=0, le=2)] = 0.95,
        least_threshold: NotNegative = 0.7,
        alignment: bool = True,
        momentum: Share = 0.99,
    ) -> None:
        super().__init__(weight, ramp_share)
        if least_threshold > threshold:
            raise UserError(
                f"semi.least_threshold={least_threshold}: choose from 0 to semi.threshold={threshold}, "
                "that one for the same threshold in all classes"
            )
        shares = prior_tensor(prior)
        self.align: nn.Module = DistributionAlignment(shares, momentum) if alignment else nn.Identity()
        self.thresholds = ClassThresholds(shares, threshold, least_threshold, momentum)

    def losses(
        self, network: nn.Module, batch: dict[str, Any], loss: Loss, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the labelled images' loss and that of the accepted pseudo-labels."""
        # First, with gradients: autocast would reuse weights that it has cast without gradients.
        supervised = loss(network(batch["image"]), batch["target"])
        with keep_running_statistics(network):
            with torch.no_grad():
                aligned = self.align(network(batch["pool"]["weak"]).float().softmax(1))
            logits = network(batch["pool"]["strong"])
        confidence, label = aligned.max(1)
        accepted = confidence >= self.thresholds(confidence, label)
        self.pseudo_labels = PseudoLabels(label, accepted)
        return supervised, pseudo_label_loss(logits, label, accepted)
