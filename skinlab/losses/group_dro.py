"""Group DRO: the groups of a domain and a class with a high loss gain weight during training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, distributed, nn

from skinlab.losses.cross_entropy import cross_entropy_loss
from skinlab.settings.types import BelowOne, NotNegative, Text


class GroupDRO(nn.Module):
    """Cross-entropy under the worst mixture of groups (Sagawa et al., 2020, arXiv 1911.08731, algorithm 1).

    A group is a domain, such as a source, and a class. After each batch the weight of a group grows by
    ``exp(step_size * loss)``, all weights sum to one, and the loss is their sum over the groups' mean losses. Without
    domains, as in validation, it is the mean over images, so that the losses of two epochs can be compared.

    Args:
        class_counts: not used; every loss takes them.
        domain: column of the manifest whose values are the domains.
        step_size: of the weights; 0 keeps all groups equal.
        label_smoothing: share of the target spread evenly over all classes.
        group_counts: training images of each group, domain by domain; a group without images has no weight.
    """

    corrects_imbalance: ClassVar[bool] = True
    weight: Tensor

    def __init__(
        self,
        class_counts: Sequence[int] | None = None,
        domain: Text = "source",
        step_size: NotNegative = 0.01,
        label_smoothing: BelowOne = 0.0,
        group_counts: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.step_size, self.label_smoothing = step_size, label_smoothing
        filled = (torch.tensor(group_counts) > 0).float()
        self.register_buffer("weight", filled / filled.sum())

    def forward(self, logits: Tensor, target: Tensor, domain: Tensor | None = None) -> Tensor:
        """Return the loss of logits `(B, C)`, targets `(B,)` and, in training, domain numbers `(B,)`."""
        values = cross_entropy_loss(logits, target, label_smoothing=self.label_smoothing)
        if domain is None:
            return values.mean()
        members = F.one_hot(domain * logits.shape[1] + target, len(self.weight)).to(values.dtype)
        sums, totals, counts = values @ members, (values.detach() @ members), members.sum(0)
        n_processes = 1
        if distributed.is_initialized():  # the groups are those of the batches of all processes
            n_processes = distributed.get_world_size()
            for each in (totals, counts):
                distributed.all_reduce(each)
        counts = counts.clamp(min=1)
        with torch.no_grad():
            self.weight *= torch.exp(self.step_size * totals / counts)
            self.weight /= self.weight.sum()
        # Gradients are averaged over processes, so that each returns its part of the sum times their number.
        return n_processes * (self.weight * sums / counts).sum()
