"""Barlow Twins: the cross-correlation of two views' projections becomes the identity."""

from __future__ import annotations

from lightly.loss import BarlowTwinsLoss
from lightly.models.modules.heads import BarlowTwinsProjectionHead
from torch import nn

from skinlab.selfsup.method import Method
from skinlab.settings.types import Count, NotNegative


class BarlowTwins(Method):
    """Barlow Twins (Zbontar et al., 2021, arXiv 2103.03230); correlations are averaged over processes.

    Args:
        backbone: the student's.
        n_features: features F that it yields.
        redundancy: weight of the off-diagonal correlations, the paper's lambda.
        hidden_dim: width of the projection; the paper's 8192 is for large backbones, its figure 4 has 2048 too.
        output_dim: size of the projection.
    """

    min_batch = 8  # correlations over n images have rank n - 1

    def __init__(
        self,
        backbone: nn.Module,
        n_features: int,
        *,
        redundancy: NotNegative = 5e-3,
        hidden_dim: Count = 2048,
        output_dim: Count = 2048,
    ) -> None:
        super().__init__()
        self.head = BarlowTwinsProjectionHead(n_features, hidden_dim, output_dim)
        self.criterion = BarlowTwinsLoss(redundancy, gather_distributed=True)
