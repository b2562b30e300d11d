"""SimSiam: predict the projection of the other view, which gets no gradient; no teacher."""

from __future__ import annotations

from collections.abc import Sequence

from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from torch import Tensor, nn

from skinlab.selfsup.encoder import Encoder
from skinlab.selfsup.method import Method, full_precision
from skinlab.settings.types import Count


class SimSiam(Method):
    """SimSiam (Chen and He, 2021, arXiv 2011.10566).

    Args:
        backbone: the student's.
        n_features: features F that it yields.
        hidden_dim: width of the projection, as in the paper.
        prediction_dim: width of the prediction's bottleneck, as in the paper.
        output_dim: size of projection and prediction, as in the paper.
    """

    def __init__(
        self,
        backbone: nn.Module,
        n_features: int,
        *,
        hidden_dim: Count = 2048,
        prediction_dim: Count = 512,
        output_dim: Count = 2048,
    ) -> None:
        super().__init__()
        self.head = SimSiamProjectionHead(n_features, hidden_dim, output_dim)
        self.predict = SimSiamPredictionHead(output_dim, prediction_dim, output_dim)
        self.criterion = NegativeCosineSimilarity()

    def forward(self, views: Sequence[Tensor], encode: Encoder) -> Tensor:
        """Return the negative cosine similarity of prediction and target, mean of both directions, in [-1, 1]."""
        first, second = (encode.project(view, self.head) for view in views)
        return 0.5 * (
            full_precision(self.criterion, self.predict(first), second.detach())
            + full_precision(self.criterion, self.predict(second), first.detach())
        )
