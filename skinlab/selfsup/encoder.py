"""Compute features for a method, and record those of a step for its metrics."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Encoder:
    """Maps images to features and keeps the features of a step, for its metrics.

    Attributes:
        features: of each batch of images in the order of the calls, (B, F), without gradients.
        projections: outputs of a head, (B, D), likewise.
    """

    def __init__(self, backbone: nn.Module) -> None:
        self.backbone = backbone
        self.features: list[Tensor] = []
        self.projections: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to pooled features (B, F)."""
        features: Tensor = self.backbone(images)
        self.record(features)
        return features

    def project(self, images: Tensor, head: nn.Module) -> Tensor:
        """Map normalised images (B, 3, H, W) through backbone and head to projections (B, D)."""
        projections: Tensor = head(self(images))
        self.projections.append(projections.detach())
        return projections

    def maps(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to the backbone's last feature map (B, C, h, w)."""
        maps: Tensor = self.backbone.forward_features(images)  # type: ignore[operator]
        with torch.no_grad():
            self.record(self.backbone.forward_head(maps))  # type: ignore[operator]
        return maps

    def record(self, features: Tensor) -> None:
        """Record features that were computed elsewhere."""
        self.features.append(features.detach())


@torch.no_grad()
def output_shape(backbone: nn.Module, image_size: int, *, maps: bool = False) -> tuple[int, ...]:
    """Return the shape of one image's features (F,), or of its last feature map (C, h, w), by a forward pass.

    >>> import timm
    >>> output_shape(timm.create_model("test_resnet", num_classes=0), 64, maps=True)
    (96, 2, 2)
    """
    was_training = backbone.training
    backbone.eval()
    image = next(backbone.parameters()).new_zeros(1, 3, image_size, image_size)
    output = backbone.forward_features(image) if maps else backbone(image)  # type: ignore[operator]
    backbone.train(was_training)
    return tuple(output.shape[1:])
