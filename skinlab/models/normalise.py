"""Normalisation of uint8 images on their device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

NORM, DARKEST = 6, 1 / 255  # as in skinlab.alterations.colour, which says why


class Normalise(nn.Module):
    """Normalise uint8 images ``(B, 3, H, W)``; its buffers are not in checkpoints.

    Args:
        mean: of each channel of the pixels in [0, 1].
        std: of each channel.
        colour_constancy: ``shades_of_gray`` removes the colour of the light first, ``none`` keeps it.

    >>> Normalise([0.5] * 3, [0.25] * 3)(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten()
    tensor([2., 2., 2.])
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], colour_constancy: str = "none") -> None:
        super().__init__()
        self.removes_light = colour_constancy == "shades_of_gray"
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, 255 * torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images less the mean, over the standard deviation."""
        pixels = images.float()
        return ((shades_of_gray(pixels) if self.removes_light else pixels) - self.mean) / self.std


def shades_of_gray(pixels: torch.Tensor) -> torch.Tensor:
    """Scale the channels of each image so that its light is grey, as :mod:`skinlab.alterations.colour` does.

    Args:
        pixels: ``(B, 3, H, W)`` from 0 to 255.
    """
    light = (pixels / 255).pow(NORM).mean((2, 3), keepdim=True).pow(1 / NORM).clamp(min=DARKEST)
    return (pixels * light.square().mean(1, keepdim=True).sqrt() / light).clamp(max=255)
