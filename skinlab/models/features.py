"""Penultimate features: what enters the classification layer, taken while a network predicts."""

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
    """Keeps the features of all images that some classifiers see while it is open.

    Nothing is computed twice: a hook keeps what enters the classification layer. Under
    :func:`skinlab.models.prediction.predict_members` a network sees its images in equal steps, so that, like the
    probabilities, no bit of the features depends on how many images the batches hold.

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
        self.seen: list[list[torch.Tensor]] = [[] for _ in self.networks]
        self.hooks: list[Any] = []

    def __enter__(self) -> Self:
        """Begin to keep features."""
        for network, seen in zip(self.networks, self.seen, strict=True):
            head = network.get_submodule(head_name(network))
            self.hooks.append(
                head.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(_pooled(given[0])))
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep no more."""
        for hook in self.hooks:
            hook.remove()

    def features(self, n: int) -> npt.NDArray[np.float32]:
        """Return the features of the first ``n`` images, ``(n, F)``, and forget them.

        Those of several classifiers stand side by side, each brought to length one, so that none outweighs another.
        """
        parts = []
        for seen in self.seen:
            rows = torch.cat(seen)[:n].numpy()
            seen.clear()
            length = np.linalg.norm(rows, axis=1, keepdims=True) if len(self.seen) > 1 else np.ones((n, 1), np.float32)
            parts.append(rows / np.where(length > 0, length, 1))
        return np.concatenate(parts, 1)


def _pooled(features: torch.Tensor) -> torch.Tensor:
    """Return features ``(B, F)`` in memory of their own; a head that is a convolution gets maps ``(B, F, H, W)``."""
    pooled = features.flatten(2).mean(2) if features.ndim > 2 else features
    return pooled.detach().float().cpu().clone()
