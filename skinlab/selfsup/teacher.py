"""The teacher of a method: the exponential moving average of the student's weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn


def cosine_momentum(progress: float, start: float) -> float:
    """Return the teacher's momentum at a share of the run: from `start` to 1 along a cosine (BYOL, Grill et al., 2020).

    >>> [round(cosine_momentum(p, start=0.9), 3) for p in (0, 0.5, 1)]
    [0.9, 0.95, 1.0]
    """
    return 1 - (1 - start) * (math.cos(math.pi * min(progress, 1.0)) + 1) / 2


class Teacher(nn.Module):
    """A copy of backbone and head that gets no gradients and is updated once per optimiser step.

    Args:
        backbone: the student's.
        head: the student's.
        momentum: at the first step; it rises to 1 along a cosine.
        average_buffers: how BatchNorm works. False: the teacher normalises by the statistics of its own batches, as in
            BYOL's and DINO's reference code; its running statistics are those of its batches and play no part. True:
            the running statistics are averaged like the weights and normalise in their stead (EMAN, Cai et al., 2021,
            arXiv 2101.08482), so that no image's target depends on the others of its batch.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, momentum: float, *, average_buffers: bool = False) -> None:
        super().__init__()
        self.backbone, self.head = copy.deepcopy(backbone), copy.deepcopy(head)
        self.momentum, self.average_buffers = momentum, average_buffers
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Teacher:
        """Set the mode; with averaged statistics it always is evaluation mode."""
        return super().train(mode and not self.average_buffers)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to the head's outputs (B, D), without gradients."""
        outputs: Tensor = self.head(self.backbone(images))
        return outputs

    def synchronise(self, backbone: nn.Module, head: nn.Module) -> None:
        """Copy the student's weights, which may have been loaded after this copy was made."""
        self.backbone.load_state_dict(backbone.state_dict())
        self.head.load_state_dict(head.state_dict())

    @torch.no_grad()
    def follow(self, backbone: nn.Module, head: nn.Module, progress: float) -> None:
        """Update the weights: ``teacher = m * teacher + (1 - m) * student``."""
        share = 1 - cosine_momentum(progress, self.momentum)
        mine, theirs = nn.ModuleList([self.backbone, self.head]), nn.ModuleList([backbone, head])
        torch._foreach_lerp_(list(mine.parameters()), [p.detach() for p in theirs.parameters()], share)
        if self.average_buffers:
            for old, new in zip(mine.buffers(), theirs.buffers(), strict=True):
                old.lerp_(new, share) if old.is_floating_point() else old.copy_(new)
