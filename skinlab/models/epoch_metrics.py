"""The metrics of one epoch, by torchmetrics; the final ones come from the predictions table, defined alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torchmetrics import MeanMetric
from torchmetrics.classification import (
    MulticlassAUROC,
    MulticlassAveragePrecision,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
)


def figure_names(classes: Sequence[str], counts: Sequence[int] | None = None) -> list[str]:
    """Return the names of an epoch's metrics, known before the first epoch.

    Args:
        classes: class names in the order of the logits.
        counts: images of each class; a metric that is undefined on them is left out.

    >>> figure_names(["nv", "mel"])[:3]
    ['loss', 'balanced_accuracy', 'accuracy']
    >>> set(figure_names(["nv", "mel"])) - set(figure_names(["nv", "mel"], [9, 0])) >= {"auroc_macro", "f1/mel"}
    True
    """
    metrics = EpochMetrics(classes)
    target = torch.arange(len(classes)).repeat_interleave(torch.tensor(counts or [1] * len(classes)))
    metrics.update(torch.eye(len(classes))[target], target, torch.zeros(()))
    return [name for name, value in metrics.compute().items() if not torch.isnan(value)]


class EpochMetrics(nn.Module):
    """Collect ``(probabilities, target)`` over an epoch and summarise them once, at its end.

    Macro figures average over the classes that have rows (support).

    Args:
        classes: class names in the order of the logits.
        positive: the positive one of two classes; the last if left out.
    """

    def __init__(self, classes: Sequence[str], positive: str | None = None) -> None:
        super().__init__()
        n = len(classes)
        self.positive = list(classes).index(positive) if positive else n - 1
        self.classes = list(classes)
        self.loss = MeanMetric()
        self.confusion = MulticlassConfusionMatrix(n)
        self.pr_auc = MulticlassAveragePrecision(n, average=None)
        self.auroc = MulticlassAUROC(n, average=None)
        self.ece = MulticlassCalibrationError(n, n_bins=15, norm="l1")

    def update(self, probabilities: torch.Tensor, target: torch.Tensor, loss: torch.Tensor) -> None:
        """Add a batch: probabilities ``(B, C)``, target ``(B,)`` and the mean loss of its rows."""
        self.loss.update(loss, weight=len(target))
        for metric in (self.confusion, self.pr_auc, self.auroc, self.ece):
            metric.update(probabilities, target)

    def compute(self) -> dict[str, torch.Tensor]:
        """Return name → figure, always with the same names (distributed logging needs that)."""
        confusion = self.confusion.compute().double()  # rows: truth
        support = confusion.sum(1)
        present = support > 0
        hits = confusion.diagonal()
        recall = hits / support.clamp(min=1)
        f1 = 2 * hits / (support + confusion.sum(0)).clamp(min=1)
        pr_auc, auroc = self.pr_auc.compute().double(), self.auroc.compute().double()
        ranked = present & (support < support.sum())  # a class that is everybody has no ranking
        figures = {
            "loss": self.loss.compute(),
            "balanced_accuracy": recall[present].mean(),
            "accuracy": hits.sum() / support.sum(),
            "f1_macro": f1[present].mean(),
            "pr_auc_macro": pr_auc[present].mean(),
            "auroc_macro": auroc[ranked].mean(),
            "ece": self.ece.compute(),
        }
        for i, name in enumerate(self.classes):
            figures[f"pr_auc/{name}"] = torch.where(present[i], pr_auc[i], torch.nan)
            figures[f"f1/{name}"] = torch.where(present[i], f1[i], torch.nan)
        if len(self.classes) == 2:
            yes, no = self.positive, 1 - self.positive
            figures |= {
                "f1_positive": f1[yes],
                "pr_auc_positive": figures[f"pr_auc/{self.classes[yes]}"],
                "sensitivity": torch.where(present[yes], recall[yes], torch.nan),
                "specificity": torch.where(present[no], recall[no], torch.nan),
            }
        return figures

    def reset(self) -> None:
        """Forget the epoch."""
        for metric in (self.loss, self.confusion, self.pr_auc, self.auroc, self.ece):
            metric.reset()
