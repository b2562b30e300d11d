"""Mix the images of a batch: mixup and CutMix with hard targets, for any loss, and Fourier amplitudes."""

from __future__ import annotations

import math

import numpy as np
import torch


def mix_batch(
    images: torch.Tensor, *, mixup: float, cutmix: float, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Mix every image with another of the batch (mixup: Zhang et al., 2018; CutMix: Yun et al., 2019).

    If both are on, each batch gets one of them with equal probability. The loss of a mixed batch is
    ``lam * loss(logits, target) + (1 - lam) * loss(logits, target[partner])``.

    Args:
        images: float ``(B, C, H, W)``.
        mixup: alpha of mixup's Beta distribution; 0 turns it off.
        cutmix: alpha of CutMix's Beta distribution; 0 turns it off.
        rng: source of all randomness.

    Returns:
        The mixed images, the partner of each row ``(B,)``, and ``lam``, the share of the first image.
    """
    partner = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    use_cutmix = cutmix > 0 and (mixup <= 0 or rng.random() < 0.5)
    alpha = cutmix if use_cutmix else mixup
    lam = float(rng.beta(alpha, alpha))
    if not use_cutmix:
        return images * lam + images[partner] * (1 - lam), partner, lam
    height, width = images.shape[-2:]
    half_h, half_w = (int(n * math.sqrt(1 - lam) / 2) for n in (height, width))
    y, x = int(rng.integers(height)), int(rng.integers(width))
    top, bottom = max(y - half_h, 0), min(y + half_h, height)
    left, right = max(x - half_w, 0), min(x + half_w, width)
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images[partner][..., top:bottom, left:right]
    return mixed, partner, 1 - (bottom - top) * (right - left) / (height * width)


def mix_amplitudes(images: torch.Tensor, share: float, rng: np.random.Generator) -> torch.Tensor:
    """Mix the Fourier amplitudes of every image with those of another of the batch, and keep its phases and target.

    Amplitudes carry light, colour and texture, phases the shapes (Yang & Soatto, 2020, arXiv 2004.05498; Xu et al.,
    2021, arXiv 2105.11120, whose mixing of the whole spectrum this is).

    Args:
        images: ``(B, C, H, W)``, values from 0 to 255.
        share: largest share of the other's amplitudes; each image gets one from 0 to this.
        rng: source of all randomness.

    Returns:
        Float images ``(B, C, H, W)``, values from 0 to 255.
    """
    partner = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    shares = torch.from_numpy(rng.uniform(0, share, (len(images), 1, 1, 1))).to(images.device, torch.float32)
    spectrum = torch.fft.rfft2(images.float())
    amplitude = spectrum.abs()
    mixed = torch.polar(amplitude + shares * (amplitude[partner] - amplitude), spectrum.angle())
    pixels: torch.Tensor = torch.fft.irfft2(mixed, s=images.shape[-2:]).clamp(0, 255)
    return pixels
