"""The base class of the pretraining methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from skinlab.selfsup.encoder import Encoder
from skinlab.selfsup.teacher import Teacher


class Method(nn.Module):
    """A self-supervised method: its heads, its loss and, for some, a teacher.

    Attributes:
        head: maps features to projections.
        criterion: maps the projections of all views, (B, D) each, to the loss.
        global_views: views of an image at full size.
        local_views: smaller views, which follow the global ones.
        teacher: the student's moving average, which a run starts and updates; None for a method without one.
        min_batch: fewest images per process and step that it can learn from.
        leaves_unused: some parameters of the backbone may get no gradient, which DDP has to know.
    """

    global_views = 2
    local_views = 0
    # BatchNorm of two values yields +1 and -1 whatever they are; with four there is something to learn from.
    min_batch = 4
    leaves_unused = False
    head: nn.Module
    criterion: nn.Module
    teacher: Teacher | None

    def __init__(self) -> None:
        super().__init__()
        self.teacher = None

    def forward(self, views: Sequence[Tensor], encode: Encoder) -> Tensor:
        """Map normalised views, (B, 3, S, S) each, to the loss: the criterion of their projections."""
        return full_precision(self.criterion, *(encode.project(view, self.head) for view in views))

    def start(self, backbone: nn.Module) -> None:
        """Copy the student's initial weights to the teacher."""
        if self.teacher is not None:
            self.teacher.synchronise(backbone, self.head)

    def start_epoch(self, epoch: int) -> None:
        """Prepare an epoch, counted from 0."""

    def before_step(self, epoch: int) -> None:
        """Change gradients before the optimiser uses them."""

    def after_step(self, backbone: nn.Module, progress: float) -> None:
        """Update the teacher; `progress` in [0, 1] is the share of the run's steps before this one."""
        if self.teacher is not None:
            self.teacher.follow(backbone, self.head, progress)


def full_precision(criterion: Callable[..., Tensor], *outputs: Tensor) -> Tensor:
    """Compute a loss in float32 whatever the networks' precision: half precision blurs similarities near 1."""
    with torch.autocast(outputs[0].device.type, enabled=False):
        return criterion(*(output.float() for output in outputs))
