"""MoCo: contrastive learning; the negatives are a queue of keys of earlier images, computed by a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import MoCoProjectionHead
from torch import Tensor, nn

from skinlab.selfsup.encoder import Encoder
from skinlab.selfsup.method import Method, full_precision
from skinlab.selfsup.teacher import Teacher
from skinlab.settings.types import Count, Positive, Share


class MoCo(Method):
    """MoCo v2 (Chen et al., 2020, arXiv 2003.04297) with v3's momentum schedule (arXiv 2104.02057).

    With BatchNorm, a query could be matched by the statistics of its batch alone. The paper therefore shuffles the keys
    between devices; here the teacher normalises by averaged statistics, which works on a single device, too (EMAN,
    arXiv 2101.08482).

    Args:
        backbone: the student's.
        n_features: features F that it yields.
        temperature: of the similarities, v2's.
        queue: keys kept as negatives; the paper's 65536 is more than a pool of dermoscopy holds.
        hidden_dim: width of the projection, v2's.
        output_dim: size of the projection, v2's.
        momentum: of the teacher at the first step, v3's.
    """

    teacher: Teacher
    criterion: NTXentLoss

    def __init__(
        self,
        backbone: nn.Module,
        n_features: int,
        *,
        temperature: Positive = 0.2,
        queue: Count = 4096,
        hidden_dim: Count = 2048,
        output_dim: Count = 128,
        momentum: Share = 0.99,
    ) -> None:
        super().__init__()
        self.head = MoCoProjectionHead(n_features, hidden_dim, output_dim)
        self.teacher = Teacher(backbone, self.head, momentum, average_buffers=True)
        self.criterion = NTXentLoss(temperature, (queue, output_dim), gather_distributed=True)
        for name, buffer in list(self.criterion.memory_bank.named_buffers()):  # a resumed run needs its queue
            self.criterion.memory_bank.register_buffer(name, buffer, persistent=True)

    def forward(self, views: Sequence[Tensor], encode: Encoder) -> Tensor:
        """Return the cross-entropy of finding the key of the same image; the keys then join the queue."""
        queries = encode.project(views[0], self.head)
        with torch.no_grad():
            features = self.teacher.backbone(views[1])
            keys = self.teacher.head(features)
        encode.record(features)
        return full_precision(self.criterion, queries, keys)
