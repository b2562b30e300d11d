"""Compute the input gate's features: channel means of the middle stages of an ImageNet network.

A network trained on dermoscopy alone maps foreign images, such as faces, among the lesions. The middle stages of an
ImageNet network, which encode textures and parts of objects, separate them best.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
from torch import nn

from skinlab.models.backbone import normalisation
from skinlab.models.normalise import Normalise
from skinlab.models.weights import imagenet_state

NAME = "tf_efficientnet_lite0"  # its ImageNet weights come with a package: no network is needed to fit a gate
STAGES = (3, 4)  # of the seven, counted from 0; the later ones are not kept
WIDTH = 80 + 112  # channels of these


class GateNetwork(nn.Module):
    """The first stages of the network, with fixed weights, on the CPU.

    Args:
        state: weights by timm's names; more than its own do no harm.

    Raises:
        ValueError: weights are missing, of another shape, or no finite numbers.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__()
        whole: Any = timm.create_model(NAME, num_classes=0)
        self.conv_stem, self.bn1, self.blocks = whole.conv_stem, whole.bn1, whole.blocks[: STAGES[-1] + 1]
        self.normalise = Normalise(*normalisation(whole))
        own = self.state_dict()
        wrong = [
            name
            for name, value in own.items()
            if not isinstance(given := state.get(name), torch.Tensor)
            or given.shape != value.shape
            or not bool(given.isfinite().all())
        ]
        if wrong:
            raise ValueError(f"its input gate's network has a wrong {wrong[0]}")
        self.load_state_dict({name: state[name] for name in own})
        self.eval().requires_grad_(False)

    @classmethod
    def pretrained(cls) -> GateNetwork:
        """Return it with ImageNet weights.

        Raises:
            WeightsUnavailable: they can't be had on this machine.
        """
        return cls(imagenet_state(NAME))

    @torch.inference_mode()
    def features(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Return the mean of each channel of the stages, ``(WIDTH,)``.

        One image at a time: how many others there are would change the last bits.

        Args:
            image: uint8 RGB ``(S, S, 3)``.
        """
        x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        x = self.bn1(self.conv_stem(self.normalise(x)))
        means = []
        for stage, block in enumerate(self.blocks):
            x = block(x)
            if stage in STAGES:
                means.append(x.mean((2, 3))[0])
        return np.asarray(torch.cat(means).double().numpy())
