"""What a semi-supervised strategy is to the classifier, which it is handed to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn


class Judgement(NamedTuple):
    """What a strategy made of a step's pool images.

    Attributes:
        label: the class guessed for each, (P,).
        accepted: whether it was learned from, (P,).
    """

    label: Tensor
    accepted: Tensor


class Strategy(nn.Module):
    """Turns a batch of labelled images and images of the pool into a loss; what it must remember are its buffers.

    Attributes:
        judgement: of the last step, None before the first.
        teacher: a network that is validated and kept in place of the one that learns; None where they are the same.
    """

    judgement: Judgement | None
    teacher: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.judgement, self.teacher = None, None

    def forward(
        self,
        network: nn.Module,
        batch: dict[str, Any],
        *,
        loss: Callable[[Tensor, Tensor], Tensor],
        progress: float,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of the labelled images, and that of the pool's with its weight; their sum is learned from.

        Args:
            network: maps normalised images (B, 3, H, W) to logits (B, C); it learns.
            batch: ``image`` (B, 3, H, W), ``target`` (B,), and ``pool`` with the views ``weak`` and ``strong``
                (P, 3, H, W); normalised.
            loss: the configured one, of logits (B, C) and targets (B,).
            progress: share of the run's optimiser steps done, in [0, 1].
            rng: source of what is random.
        """
        raise NotImplementedError

    def attach(self, network: nn.Module) -> None:
        """Make what depends on the network; its weights may still change."""

    def start(self, network: nn.Module) -> None:
        """Begin a run, the network having its first weights."""

    def after_step(self, network: nn.Module) -> None:
        """Follow an optimiser step, however many batches it accumulated."""
