"""Normalisation of uint8 images on their device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Normalise(nn.Module):
    """Normalise uint8 images ``(B, 3, H, W)``; its buffers are not in checkpoints.

    Args:
        mean: of each channel of the pixels in [0, 1].
        std: of each channel.

    >>> Normalise([0.5] * 3, [0.25] * 3)(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten()
    tensor([2., 2., 2.])
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, 255 * torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images less the mean, over the standard deviation."""
        return (images.float() - self.mean) / self.std
