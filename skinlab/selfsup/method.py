"""What every method offers to the shared pretraining module."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from skinlab.selfsup.encoder import Encoder


class Method(nn.Module):
    """A way to learn from images without labels: heads, criterion and, with some, a teacher.

    Attributes:
        global_views: views of an image at full size.
        local_views: smaller views, which follow the global ones.
        least_batch: fewest images a process and step that it can learn from.
        leaves_unused: some of the backbone's parameters may get no gradient, of which DDP must be told.
    """

    global_views = 2
    local_views = 0
    # BatchNorm of two values yields +1 and -1 whatever they are; with four there is something to learn from.
    least_batch = 4
    leaves_unused = False

    def forward(self, views: Sequence[Tensor], encode: Encoder) -> Tensor:
        """Map normalised views, (B, 3, S, S) each, to the loss."""
        raise NotImplementedError

    def start(self, backbone: nn.Module) -> None:
        """Begin a run, once the backbone has its first weights."""

    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 0."""

    def before_step(self, epoch: int) -> None:
        """See the gradients before the optimiser does."""

    def after_step(self, backbone: nn.Module, progress: float) -> None:
        """Follow an optimiser step; `progress` in [0, 1] is the share of the run's steps before it."""


def full_precision(criterion: Callable[..., Tensor], *outputs: Tensor) -> Tensor:
    """Compute a loss in float32 whatever the networks' precision: half precision blurs similarities near 1."""
    with torch.autocast(outputs[0].device.type, enabled=False):
        return criterion(*(output.float() for output in outputs))
