"""MixMatch: sharpened pseudo-labels for the pool, and mixup across labelled and pool images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from skinlab.models.strategy import Loss, PseudoLabels, Strategy, Weight
from skinlab.semisup.alignment import DistributionAlignment, prior_tensor
from skinlab.semisup.batch_norm import keep_running_statistics
from skinlab.settings.types import Share


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Raise probabilities `(B, C)` to the power ``1 / temperature`` and normalise; 1 leaves them as they are.

    >>> sharpen(torch.tensor([[0.75, 0.25]]), 0.5)
    tensor([[0.9000, 0.1000]])
    """
    powered = probabilities ** (1 / temperature)
    return powered / powered.sum(1, keepdim=True)


def soft_target_loss(loss: Loss, logits: Tensor, target: Tensor) -> Tensor:
    """Return the expected loss for classes drawn from the targets; for cross-entropy, its form with soft targets.

    Args:
        loss: mean over images of logits `(B, C)` and class numbers `(B,)`.
        logits: `(B, C)`.
        target: class shares of each image `(B, C)`.
    """
    classes = torch.arange(logits.shape[1], device=logits.device)
    of_one = torch.vmap(lambda row, number: loss(row[None], number[None]), in_dims=(None, 0))
    if_class: Tensor = torch.vmap(of_one, in_dims=(0, None))(logits, classes)
    return (target * if_class).sum(1).mean()


def draw_shares(n: int, alpha: float, rng: np.random.Generator) -> Tensor:
    """Draw the share of each of `n` images in its mixture: ``max(lam, 1 - lam)`` of Beta(alpha, alpha), 1 for alpha 0.

    >>> draw_shares(2, 0.0, np.random.default_rng(0))
    tensor([1., 1.])
    """
    lam = rng.beta(alpha, alpha, size=n) if alpha else np.ones(n)
    return torch.from_numpy(np.maximum(lam, 1 - lam)).float()


class MixMatch(Strategy):
    """MixMatch (Berthelot et al., 2019, arXiv 1905.02249); pseudo-labels are means over the two views.

    Args:
        prior: class shares of the pool, for alignment.
        weight: of the pool's loss, the paper's lambda_U.
        ramp_share: share of the run's steps over which the weight rises from 0.
        temperature: of the sharpening, T.
        alpha: of the Beta distribution of the mixtures; 0 mixes nothing.
        alignment: whether pseudo-labels are aligned with the prior before they are sharpened (ReMixMatch).
        momentum: of the alignment's running mean.
    """

    def __init__(
        self,
        prior: Sequence[float],
        *,
        weight: Weight = 75.0,
        ramp_share: Share = 0.4,
        temperature: Annotated[float, Field(ge=0.05, le=1)] = 0.5,
        alpha: Annotated[float, Field(ge=0, le=100)] = 0.75,
        alignment: bool = True,
        momentum: Share = 0.99,
    ) -> None:
        super().__init__(weight, ramp_share)
        self.temperature = temperature
        self.alpha = alpha
        shares = prior_tensor(prior)
        self.align: nn.Module = DistributionAlignment(shares, momentum) if alignment else nn.Identity()

    def losses(
        self, network: nn.Module, batch: dict[str, Any], loss: Loss, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the mixed labelled images' loss and the mixed pool images' squared error."""
        n, views = len(batch["target"]), (batch["pool"]["weak"], batch["pool"]["strong"])
        soft_labels = self.soft_labels(network, views)
        images = torch.cat([batch["image"], *views])
        targets = torch.cat(
            [nn.functional.one_hot(batch["target"], soft_labels.shape[1]).float(), soft_labels, soft_labels]
        )
        partner = torch.from_numpy(rng.permutation(len(images))).to(images.device)
        share = draw_shares(len(images), self.alpha, rng).to(images.device)
        images = torch.lerp(images[partner], images, share.view(-1, 1, 1, 1))
        targets = torch.lerp(targets[partner], targets, share.view(-1, 1))
        supervised = soft_target_loss(loss, network(images[:n]), targets[:n])
        with keep_running_statistics(network):
            predicted = network(images[n:]).float().softmax(1)
        return supervised, (predicted - targets[n:]).square().mean()

    @torch.no_grad()
    def soft_labels(self, network: nn.Module, views: Sequence[Tensor]) -> Tensor:
        """Return the sharpened mean prediction over the views of pool images `(P, C)`; all are accepted."""
        device = views[0].device.type
        # Weights that autocast casts here, without gradients, must not be reused by the passes with gradients.
        autocast = torch.autocast(device, enabled=torch.is_autocast_enabled(device), cache_enabled=False)
        with keep_running_statistics(network), autocast:
            mean = torch.stack([network(view).float().softmax(1) for view in views]).mean(0)
        aligned = self.align(mean)
        label = aligned.argmax(1)
        self.pseudo_labels = PseudoLabels(label, torch.ones_like(label, dtype=torch.bool))
        return sharpen(aligned, self.temperature)
