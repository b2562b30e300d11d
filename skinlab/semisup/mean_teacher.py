"""Mean Teacher: the student is trained to agree with a teacher, the running average of its own weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skinlab.models.strategy import Loss, PseudoLabels, Strategy, Weight
from skinlab.semisup.batch_norm import keep_running_statistics
from skinlab.settings.types import Share


class MeanTeacher(Strategy):
    """Mean Teacher (Tarvainen and Valpola, 2017, arXiv 1703.01780).

    The teacher is validated and kept, as in the paper. It gets the weak view, the student the strong one. Its BatchNorm
    statistics are averaged like its weights, and it is always in evaluation mode (EMAN, Cai et al., 2021, arXiv
    2101.08482): an image's target does not depend on the others of its batch.

    Args:
        prior: not used; every strategy is built with one.
        weight: of the mean squared difference of probabilities; the paper's is 100.
        ramp_share: share of the run's steps over which the weight rises, along the paper's ``exp(-5 (1 - t)^2)``.
        decay: of the teacher; over the first ``1 / (1 - decay)`` optimiser steps it is the arithmetic mean of students.
    """

    steps: Tensor

    def __init__(
        self,
        prior: Sequence[float] = (),
        *,
        weight: Weight = 100.0,
        ramp_share: Share = 0.4,
        decay: Share = 0.999,
    ) -> None:
        super().__init__(weight, ramp_share)
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def attach(self, network: nn.Module) -> None:
        """Copy the student as the teacher."""
        self.teacher = copy.deepcopy(network).requires_grad_(False)

    def start(self, network: nn.Module) -> None:
        """Set the teacher's weights to the student's."""
        assert self.teacher is not None
        self.teacher.load_state_dict(network.state_dict())

    def losses(
        self, network: nn.Module, batch: dict[str, Any], loss: Loss, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the labelled images' loss and the student's squared difference from the teacher."""
        assert self.teacher is not None
        supervised = loss(network(batch["image"]), batch["target"])
        with torch.no_grad():
            target = self.teacher.eval()(batch["pool"]["weak"]).float().softmax(1)
        with keep_running_statistics(network):
            predicted = network(batch["pool"]["strong"]).float().softmax(1)
        label = target.argmax(1)
        self.pseudo_labels = PseudoLabels(label, torch.ones_like(label, dtype=torch.bool))
        return supervised, (predicted - target).square().mean()

    def ramp(self, progress: float) -> float:
        """Return the paper's ``exp(-5 (1 - t)^2)``, t rising from 0 to 1 over `ramp_share` of the steps."""
        return math.exp(-5 * (1 - super().ramp(progress)) ** 2)

    @torch.no_grad()
    def after_step(self, network: nn.Module) -> None:
        """Update the teacher: ``teacher = d * teacher + (1 - d) * student``, ``d = min(decay, 1 - 1 / step)``."""
        assert self.teacher is not None
        self.steps += 1
        share = (1 / self.steps).clamp(min=1 - self.decay)
        for mine, theirs in zip(self.teacher.state_dict().values(), network.state_dict().values(), strict=True):
            mine.lerp_(theirs, share.to(mine.dtype)) if mine.is_floating_point() else mine.copy_(theirs)
