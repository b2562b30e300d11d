"""VICReg: losses on variance, invariance and covariance of the projections."""

from __future__ import annotations

from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from torch import nn

from skinlab.selfsup.method import Method
from skinlab.settings.types import Count, NotNegative, Positive


class VICReg(Method):
    """VICReg (Bardes et al., 2022, arXiv 2105.04906); variances and covariances are over all processes.

    Args:
        backbone: the student's.
        n_features: features F that it yields.
        invariance: weight of the distance between views, the paper's lambda.
        variance: weight of the hinge on each dimension's standard deviation, the paper's mu.
        covariance: weight of the covariances between dimensions, the paper's nu.
        hidden_dim: width of the projection; the paper's 8192 is for large backbones.
        output_dim: size of the projection.
    """

    min_batch = 8  # covariances over n images have rank n - 1

    def __init__(
        self,
        backbone: nn.Module,
        n_features: int,
        *,
        invariance: Positive = 25.0,
        variance: Positive = 25.0,
        covariance: NotNegative = 1.0,
        hidden_dim: Count = 2048,
        output_dim: Count = 2048,
    ) -> None:
        super().__init__()
        self.head = VICRegProjectionHead(n_features, hidden_dim, output_dim)
        self.criterion = VICRegLoss(invariance, variance, covariance, gather_distributed=True)
