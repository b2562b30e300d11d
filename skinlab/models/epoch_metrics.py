"""Metrics of one epoch: probabilities of all processes are collected, and evaluated as the final ones are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torchmetrics import CatMetric, MeanMetric

from skinlab.evaluation.metrics.registry import reported_metrics
from skinlab.evaluation.metrics.scorer import classification_metrics

WORST_GROUP = "worst_group_accuracy"
MIN_GROUP = 10  # images of a group that counts as the worst; where no group has so many, all count


def epoch_metric_names(classes: Sequence[str], counts: Sequence[int] | None = None) -> list[str]:
    """Return the names of an epoch's metrics, known before the first epoch.

    Args:
        classes: class names in the order of the logits.
        counts: images of each class; a metric that is undefined on them is left out.

    >>> epoch_metric_names(["nv", "mel"])[:3]
    ['loss', 'balanced_accuracy', 'accuracy']
    >>> "auroc_macro" in epoch_metric_names(["nv", "mel"], [9, 0])
    False
    """
    metrics = EpochMetrics(classes)
    target = torch.arange(len(classes)).repeat_interleave(torch.tensor(counts or [1] * len(classes)))
    metrics.update(torch.eye(len(classes))[target], target, torch.zeros(()))
    return [name for name, value in metrics.compute().items() if not torch.isnan(value)]


class EpochMetrics(nn.Module):
    """Collect probabilities and targets over an epoch and compute the registry's metrics once, at its end.

    Args:
        classes: class names in the order of the logits.
        positive: the positive one of two classes; the last if left out.
    """

    def __init__(self, classes: Sequence[str], positive: str | None = None) -> None:
        super().__init__()
        self.classes, self.positive = list(classes), positive
        self.names = list(reported_metrics(self.classes, epoch=True))
        self.loss = MeanMetric()
        self.rows = CatMetric(nan_strategy="disable")

    def update(self, probabilities: torch.Tensor, target: torch.Tensor, loss: torch.Tensor) -> None:
        """Add a batch: probabilities ``(B, C)``, target ``(B,)`` and the mean loss of its images."""
        self.loss.update(loss, weight=len(target))
        self.rows.update(torch.cat([probabilities, target[:, None].to(probabilities)], 1))

    def compute(self) -> dict[str, torch.Tensor]:
        """Return name → metric, always with the same names (distributed logging needs that)."""
        loss = self.loss.compute()
        rows = self.rows.compute().double().cpu().numpy()
        probabilities, target = rows[:, :-1], rows[:, -1].astype("int64")
        found = classification_metrics(probabilities, target, self.classes, self.positive, self.names)
        return {"loss": loss} | {name: loss.new_tensor(value) for name, value in found.items()}

    def reset(self) -> None:
        """Remove the collected predictions."""
        self.loss.reset()
        self.rows.reset()


class WorstGroupAccuracy(nn.Module):
    """The lowest accuracy of a group of a domain and a class, over an epoch (Sagawa et al., 2020, arXiv 1911.08731).

    Groups with fewer than :data:`MIN_GROUP` images don't count, unless all are so small.

    >>> accuracy = WorstGroupAccuracy()
    >>> target, domain = torch.tensor([0] * 20), torch.tensor([0] * 10 + [1] * 10)
    >>> accuracy.update(torch.eye(2)[torch.tensor([0] * 14 + [1] * 6)], target, domain)
    >>> accuracy.compute()
    tensor(0.4000)
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows = CatMetric()

    def update(self, probabilities: torch.Tensor, target: torch.Tensor, domain: torch.Tensor) -> None:
        """Add a batch: probabilities ``(B, C)``, target and domain ``(B,)``."""
        right = probabilities.argmax(1) == target
        self.rows.update(torch.stack([domain * probabilities.shape[1] + target, right], 1).float())

    def compute(self) -> torch.Tensor:
        """Return the lowest accuracy."""
        rows = self.rows.compute()
        group, right = rows.cpu().numpy().T
        member, counts = np.unique(group, return_inverse=True, return_counts=True)[1:]
        accuracy = np.bincount(member, right) / counts
        large = counts >= MIN_GROUP
        return rows.new_tensor((accuracy[large] if large.any() else accuracy).min())

    def reset(self) -> None:
        """Remove the collected predictions."""
        self.rows.reset()
