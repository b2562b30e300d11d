"""Where a network looked: Grad-CAM on its last feature maps or patches (Selvaraju et al., 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from skinlab.errors import UserError
from skinlab.models.classifier import Classifier

CELLS = 4  # a side: the 2 x 2 cells that a stride of 32 leaves of 64 pixels tell left from right, and no more


def gradcam(classifier: Classifier, images: torch.Tensor, classes: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return what in each image spoke for a class, ``(B, S, S)``, the strongest place of an image at 1, the least at 0.

    An image in which nothing speaks for its class gets zeros.

    Args:
        classifier: in evaluation mode.
        images: uint8 ``(B, 3, S, S)``.
        classes: B class numbers.

    Raises:
        UserError: the network has no feature maps.
    """
    with torch.enable_grad():
        # Weights of a loaded bundle want no gradient, so it is the image that makes autograd keep the graph.
        shown = classifier.normalise(images.to(classifier.device)).requires_grad_()
        layer = token_layer(classifier.network)
        to_maps = None if layer is None else patch_maps(int(getattr(classifier.network, "num_prefix_tokens", 0)))
        layer = layer or feature_stage(classifier.network, shown[:1])
        cam = GradCAM(classifier.network, [layer], reshape_transform=to_maps)
        try:
            maps: npt.NDArray[np.float32] = cam(shown, [ClassifierOutputTarget(int(number)) for number in classes])
        finally:
            cam.activations_and_grads.release()
    return np.clip(maps, 0, 1).astype(np.float32)


def token_layer(network: nn.Module) -> nn.Module | None:
    """Return the layer of a vision transformer whose output goes into its last attention; None for other networks.

    Behind that attention the logits may depend on the class token alone, so that its patches would have no gradient.
    """
    blocks = getattr(network, "blocks", None)
    if not hasattr(network, "num_prefix_tokens") or not isinstance(blocks, (nn.Sequential, nn.ModuleList)):
        return None
    layer = getattr(blocks[-1], "norm1", None)
    return layer if isinstance(layer, nn.Module) else None


def patch_maps(n_prefix: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function from tokens ``(B, n_prefix + h * h, F)`` to the maps of the patches ``(B, F, h, h)``.

    Args:
        n_prefix: class and register tokens before the patches.

    >>> patch_maps(1)(torch.arange(5.0).view(1, 5, 1))
    tensor([[[[1., 2.],
              [3., 4.]]]])
    """

    def to_maps(tokens: torch.Tensor) -> torch.Tensor:
        patches = tokens[:, n_prefix:]
        side = math.isqrt(patches.shape[1])
        return patches.transpose(1, 2).reshape(len(tokens), -1, side, side)

    return to_maps


@torch.no_grad()
def feature_stage(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Return the last stage whose maps have at least 4 x 4 cells, or the finest where the images are too small for it.

    The stages are those that timm lists in ``feature_info``, else all layers that give maps.

    Args:
        network: maps ``images`` to logits.
        images: normalised, ``(B, 3, S, S)``.

    Raises:
        UserError: no stage gives maps ``(B, channels, H, W)``.
    """
    listed = {each["module"]: each["num_chs"] for each in getattr(network, "feature_info", None) or []}
    stages: list[tuple[int, nn.Module]] = []

    def record(channels: int | None) -> Any:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            is_map = isinstance(output, torch.Tensor) and output.ndim == 4 and channels in (None, output.shape[1])
            if is_map and min(output.shape[-2:]) > 1:
                stages.append((min(output.shape[-2:]), module))

        return hook

    handles = [
        module.register_forward_hook(record(listed.get(name)))
        for name, module in network.named_modules()
        if not listed or name in listed
    ]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    if not stages:
        raise UserError(f"{type(network).__name__} has no feature maps for Grad-CAM")
    wanted = min(CELLS, max(side for side, _ in stages))
    return [module for side, module in stages if side >= wanted][-1]
