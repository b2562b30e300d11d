"""Denoising autoencoder: reconstruct an image from a noisy copy with a square cut out; the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from skinlab.errors import UserError
from skinlab.selfsup.encoder import Encoder, output_shape
from skinlab.selfsup.method import Method, full_precision
from skinlab.settings.types import Count, NotNegative, Share

PROBE = 64  # pixels a side of the image that a backbone's feature map is measured with


class Denoise(Method):
    """Denoising autoencoder (Vincent et al., 2008) with Cutout (DeVries and Taylor, 2017) and an L1 loss.

    One view per image: the target is the view itself. Any backbone with a feature map serves; only its pooling is not
    part of the loss.

    Args:
        backbone: the student's.
        n_features: features F that it yields; the decoder starts before their pooling.
        noise: standard deviation of the noise, in standard deviations of the pixels.
        cutout: side of the square hole as a share of the image's, Cutout's for CIFAR-10; 0 is none.
        width: channels of the decoder's first layer; each next one has half, 16 at least.
    """

    global_views = 1
    min_batch = 2  # the spread of features detects collapse
    leaves_unused = True

    def __init__(
        self, backbone: nn.Module, n_features: int, *, noise: NotNegative = 0.3, cutout: Share = 0.5, width: Count = 256
    ) -> None:
        super().__init__()
        self.noise, self.cutout = noise, cutout
        try:
            channels, side, _ = output_shape(backbone, PROBE, maps=True)
        except (AssertionError, RuntimeError, ValueError) as error:  # tokens instead of maps, or images of one size
            raise UserError(f"ssl=denoise: the network yields no feature maps ({error}); choose a CNN") from None
        self.decoder = decoder(channels, width, doublings=round(math.log2(PROBE / side)))

    def forward(self, views: Sequence[Tensor], encode: Encoder) -> Tensor:
        """Return the mean absolute difference between image and reconstruction, in standard deviations."""
        (images,) = views
        noisy = images + self.noise * torch.randn_like(images)
        drawn = self.decoder(encode.maps(cut_out(noisy, self.cutout)))
        drawn = F.interpolate(drawn, images.shape[-2:], mode="bilinear", antialias=False)
        return full_precision(F.l1_loss, drawn, images)


def decoder(channels: int, width: int, doublings: int) -> nn.Sequential:
    """Build convolutions that double the side of a feature map (B, C, h, w) `doublings` times, down to 3 channels."""
    layers: list[nn.Module] = []
    for i in range(doublings):
        out = max(width >> i, 16)
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.GroupNorm(math.gcd(8, out), out), nn.ReLU()]
        layers += [nn.Upsample(scale_factor=2, mode="nearest")]
        channels = out
    return nn.Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1))


def cut_out(images: Tensor, share: float) -> Tensor:
    """Set a random square of each image to 0, the mean of normalised pixels.

    The square may reach over the edge, as Cutout's does.

    Args:
        images: (B, 3, H, W).
        share: side of the square as a share of the image's.
    """
    height, width = images.shape[-2:]

    def inside(side: int) -> Tensor:
        middle = torch.rand(len(images), 1, device=images.device) * side
        position = torch.arange(side, device=images.device) + 0.5
        return (position - middle).abs() < share * side / 2

    hole = inside(height)[:, None, :, None] & inside(width)[:, None, None, :]
    return images.masked_fill(hole, 0.0)
