"""BYOL: predict the projection of the other view by a teacher, the moving average of the student."""

from __future__ import annotations

from collections.abc import Sequence

from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor, nn

from skinlab.selfsup.encoder import Encoder
from skinlab.selfsup.method import Method, full_precision
from skinlab.selfsup.teacher import Teacher
from skinlab.settings.types import Count, Share


class BYOL(Method):
    """BYOL (Grill et al., 2020, arXiv 2006.07733).

    Args:
        backbone: the student's.
        n_features: features F that it yields.
        hidden_dim: width of projection and prediction, as in the paper.
        output_dim: size of projection and prediction, as in the paper.
        momentum: of the teacher at the first step, the paper's for 100 to 300 epochs (.996 for 1,000).
    """

    teacher: Teacher

    def __init__(
        self,
        backbone: nn.Module,
        n_features: int,
        *,
        hidden_dim: Count = 4096,
        output_dim: Count = 256,
        momentum: Share = 0.99,
    ) -> None:
        super().__init__()
        self.head = BYOLProjectionHead(n_features, hidden_dim, output_dim)
        self.predict = BYOLPredictionHead(output_dim, hidden_dim, output_dim)
        self.teacher = Teacher(backbone, self.head, momentum)
        self.criterion = NegativeCosineSimilarity()

    def forward(self, views: Sequence[Tensor], encode: Encoder) -> Tensor:
        """Return the negative cosine similarity of prediction and target, mean of both directions, in [-1, 1]."""
        first, second = (self.predict(encode.project(view, self.head)) for view in views)
        target_of_second, target_of_first = (self.teacher(view) for view in views)
        return 0.5 * (
            full_precision(self.criterion, first, target_of_first)
            + full_precision(self.criterion, second, target_of_second)
        )
