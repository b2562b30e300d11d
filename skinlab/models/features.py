"""Penultimate features, the input of the classification layer, recorded while a network predicts."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skinlab.models.backbone import head_name
from skinlab.models.classifier import Classifier


class Penultimate:
    """Records the features of all images that some classifiers predict within its context.

    A hook records the input of the classification layer, so that nothing is computed twice. Under
    :func:`skinlab.models.prediction.predict_members` a network gets its images in steps of one size, so that features,
    like probabilities, do not depend on the batch size.

    Args:
        classifiers: in evaluation mode.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    >>> network.pretrained_cfg = {"classifier": "1"}
    >>> with Penultimate([network]) as kept:
    ...     logits = network(torch.ones(3, 3, 2, 2))
    >>> kept.features(3).shape
    (3, 12)
    """

    def __init__(self, classifiers: Sequence[nn.Module]) -> None:
        self.networks = [each.network if isinstance(each, Classifier) else each for each in classifiers]
        self.recorded: list[list[torch.Tensor]] = [[] for _ in self.networks]
        self.hooks: list[Any] = []

    def __enter__(self) -> Self:
        """Begin to record features."""
        for network, steps in zip(self.networks, self.recorded, strict=True):
            head = network.get_submodule(head_name(network))
            self.hooks.append(
                head.register_forward_pre_hook(lambda _, inputs, steps=steps: steps.append(_pooled(inputs[0])))
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the recording."""
        for hook in self.hooks:
            hook.remove()

    def features(self, n: int) -> npt.NDArray[np.float32]:
        """Return the features of the first ``n`` images, ``(n, F)``, and delete the recorded ones.

        Those of several classifiers are normalised to length one, for equal weights, and concatenated.
        """
        parts = []
        for steps in self.recorded:
            rows = torch.cat(steps)[:n].numpy()
            steps.clear()
            if len(self.recorded) > 1:
                length = np.linalg.norm(rows, axis=1, keepdims=True)
                rows = rows / np.where(length > 0, length, 1)
            parts.append(rows)
        return np.concatenate(parts, 1)


def _pooled(features: torch.Tensor) -> torch.Tensor:
    """Return features ``(B, F)`` in memory of their own; a head that is a convolution gets maps ``(B, F, H, W)``."""
    pooled = features.flatten(2).mean(2) if features.ndim > 2 else features
    return pooled.detach().float().cpu().clone()
