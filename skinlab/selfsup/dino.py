"""DINO: self-distillation; the student's small and large crops predict the teacher's output for the large ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from torch import Tensor, nn

from skinlab.selfsup.encoder import Encoder
from skinlab.selfsup.method import Method, full_precision
from skinlab.selfsup.teacher import Teacher
from skinlab.settings.types import Count, CountOrZero, Positive, Share


class DINO(Method):
    """DINO (Caron et al., 2021, arXiv 2104.14294).

    The centre moves with every forward pass, as in the reference code; so it does under gradient accumulation.

    Args:
        backbone: the student's.
        n_features: features F that it yields.
        local_views: small crops an image, the paper's for ResNet-50.
        output_dim: prototypes; the paper's 65536 is for large backbones, its ablation finds 4096 little worse.
        hidden_dim: width of the projection, the paper's.
        bottleneck_dim: size of the normalised projection, the paper's.
        student_temp: the student's temperature, the paper's.
        teacher_temp: the teacher's temperature after its warm-up, the paper's.
        warmup_teacher_temp: the teacher's temperature in the first epoch, the paper's.
        warmup_epochs: epochs of that warm-up, the paper's.
        center_momentum: of the centre, the paper's.
        freeze_epochs: epochs in which the last layer is frozen, the paper's.
        momentum: of the teacher at the first step, the paper's.
    """

    min_batch = 2  # no BatchNorm in the head, but a centre of one image is its own target
    local_views = 6
    head: DINOProjectionHead
    teacher: Teacher
    criterion: DINOLoss

    def __init__(
        self,
        backbone: nn.Module,
        n_features: int,
        *,
        local_views: CountOrZero = 6,
        output_dim: Count = 4096,
        hidden_dim: Count = 2048,
        bottleneck_dim: Count = 256,
        student_temp: Positive = 0.1,
        teacher_temp: Positive = 0.07,
        warmup_teacher_temp: Positive = 0.04,
        warmup_epochs: CountOrZero = 30,
        center_momentum: Share = 0.9,
        freeze_epochs: CountOrZero = 1,
        momentum: Share = 0.996,
    ) -> None:
        super().__init__()
        self.local_views, self.epoch = local_views, 0
        # A weight-normalised layer can be copied only while its weight has no history; torch calls it outdated.
        with torch.no_grad(), warnings.catch_warnings(action="ignore", category=FutureWarning):
            self.head = DINOProjectionHead(
                n_features, hidden_dim, bottleneck_dim, output_dim, freeze_last_layer=freeze_epochs
            )
        self.teacher = Teacher(backbone, self.head, momentum)
        self.criterion = DINOLoss(
            output_dim, warmup_teacher_temp, teacher_temp, warmup_epochs, student_temp, center_momentum
        )

    def forward(self, views: Sequence[Tensor], encode: Encoder) -> Tensor:
        """Return the cross-entropy between the teacher's global views and all other views of the student."""
        large, small = views[: self.global_views], views[self.global_views :]
        student = [self.head(encode(view)) for view in large]
        encode.projections += [(view - self.criterion.center[0]).detach() for view in student]
        if small:
            student += self.head(encode(torch.cat(list(small)))).chunk(len(small))
        teacher = torch.stack([self.teacher(view) for view in large])

        def loss(teacher: Tensor, student: Tensor) -> Tensor:
            value: Tensor = self.criterion(list(teacher), list(student), epoch=self.epoch)
            return value

        return full_precision(loss, teacher, torch.stack(student))

    def start_epoch(self, epoch: int) -> None:
        """Set the epoch, which the teacher's temperature depends on."""
        self.epoch = epoch

    def before_step(self, epoch: int) -> None:
        """Remove the gradients of the last layer while it is frozen."""
        self.head.cancel_last_layer_gradients(epoch)
