"""SimCLR: contrastive learning; the other images of the batch are the negatives."""

from __future__ import annotations

from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import nn

from skinlab.selfsup.method import Method
from skinlab.settings.types import Count, Positive


class SimCLR(Method):
    """SimCLR (Chen et al., 2020, arXiv 2002.05709); negatives come from all processes, with gradients.

    Args:
        backbone: the student's.
        n_features: features F that it yields.
        temperature: of the similarities; the paper's for ImageNet, and .5 for small images.
        hidden_dim: width of the projection, the paper's for ResNet-50.
        output_dim: size of the projection.
        batch_norm: BatchNorm in the projection, as in the reference code.
    """

    def __init__(
        self,
        backbone: nn.Module,
        n_features: int,
        *,
        temperature: Positive = 0.1,
        hidden_dim: Count = 2048,
        output_dim: Count = 128,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.head = SimCLRProjectionHead(n_features, hidden_dim, output_dim, batch_norm=batch_norm)
        self.criterion = NTXentLoss(temperature, gather_distributed=True)
