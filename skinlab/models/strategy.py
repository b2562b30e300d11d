"""The interface of a semi-supervised strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
Weight = Annotated[float, Field(ge=0, le=1e4)]  # of the pool's loss


class PseudoLabels(NamedTuple):
    """The pseudo-labels of a step's pool images.

    Attributes:
        label: the class of each, (P,).
        accepted: whether it was learned from, (P,).
    """

    label: Tensor
    accepted: Tensor


class Strategy(nn.Module):
    """Turns a batch of labelled and pool images into two losses; its state between steps is in its buffers.

    Args:
        weight: of the pool's loss.
        ramp_share: share of the run's optimiser steps over which the weight rises from 0.

    Attributes:
        pseudo_labels: of the last step, None before the first.
        teacher: a network that is validated and saved in place of the trained one; None where they are the same.
    """

    pseudo_labels: PseudoLabels | None
    teacher: nn.Module | None

    def __init__(self, weight: float = 1.0, ramp_share: float = 0.0) -> None:
        super().__init__()
        self.weight, self.ramp_share = weight, ramp_share
        self.pseudo_labels, self.teacher = None, None

    def forward(
        self, network: nn.Module, batch: dict[str, Any], *, loss: Loss, progress: float, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of the labelled images and the weighted one of the pool; their sum is minimised.

        Args:
            network: maps normalised images (B, 3, H, W) to logits (B, C); it learns.
            batch: ``image`` (B, 3, H, W), ``target`` (B,), and ``pool`` with the views ``weak`` and ``strong``
                (P, 3, H, W); normalised.
            loss: the configured one, of logits (B, C) and targets (B,).
            progress: share of the run's optimiser steps done, in [0, 1].
            rng: source of what is random.
        """
        supervised, pool = self.losses(network, batch, loss, rng)
        return supervised, self.weight * self.ramp(progress) * pool

    def losses(
        self, network: nn.Module, batch: dict[str, Any], loss: Loss, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of the labelled images and that of the pool before its weight; see :meth:`forward`."""
        raise NotImplementedError

    def ramp(self, progress: float) -> float:
        """Return the share of its weight that the pool's loss has: linear from 0 to 1 over `ramp_share` of the steps.

        >>> [Strategy(ramp_share=0.5).ramp(p) for p in (0.0, 0.25, 0.5, 1.0)], Strategy().ramp(0.0)
        ([0.0, 0.5, 1.0, 1.0], 1.0)
        """
        return min(progress / self.ramp_share, 1.0) if self.ramp_share else 1.0

    def attach(self, network: nn.Module) -> None:
        """Make the parts that depend on the network's layers; its weights may still change."""

    def start(self, network: nn.Module) -> None:
        """Begin a run with the network's initial weights."""

    def after_step(self, network: nn.Module) -> None:
        """Update the state after an optimiser step, however many batches that accumulated."""
