"""Metrics of one epoch: probabilities of all processes are collected, and evaluated as the final ones are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torchmetrics import CatMetric, MeanMetric

from skinlab.evaluation.metrics.registry import reported_metrics
from skinlab.evaluation.metrics.scorer import classification_metrics


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
