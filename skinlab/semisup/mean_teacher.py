"""Mean Teacher: the student's predictions stay close to those of its own average over time."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skinlab.models.strategy import Judgement, Strategy
from skinlab.semisup.batch_norm import unrecorded
from skinlab.semisup.settings import in_range, ramp


class MeanTeacher(Strategy):
    """Mean Teacher (Tarvainen and Valpola, 2017, arXiv 1703.01780).

    The teacher is what is validated and kept, as in the paper. It sees the weak view, the student the strong one. Its
    BatchNorm statistics are averaged like its weights, and it is in evaluation mode throughout (EMAN, Cai et al., 2021,
    arXiv 2101.08482): an image's target does not depend on the others of its batch.

    Args:
        prior: not used; taken so that every strategy is built alike.
        weight: of the mean squared difference of probabilities; the paper's is 100.
        ramp_share: share of the run's steps over which the weight rises, along the paper's ``exp(-5 (1 - t)^2)``.
        decay: of the teacher; over the first ``1 / (1 - decay)`` optimiser steps it is the student's plain mean.

    Raises:
        UserError: a setting out of range.
    """

    steps: Tensor

    def __init__(
        self,
        prior: Sequence[float] = (),
        *,
        weight: float = 100.0,
        ramp_share: float = 0.4,
        decay: float = 0.999,
    ) -> None:
        super().__init__()
        self.weight = in_range("weight", weight, 0, 1e4)
        self.ramp_share = in_range("ramp_share", ramp_share, 0, 1)
        self.decay = in_range("decay", decay, 0, 1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def attach(self, network: nn.Module) -> None:
        """Make the teacher, a copy of the student."""
        self.teacher = copy.deepcopy(network).requires_grad_(False)

    def start(self, network: nn.Module) -> None:
        """Begin with a teacher equal to the student."""
        assert self.teacher is not None
        self.teacher.load_state_dict(network.state_dict())

    def forward(
        self,
        network: nn.Module,
        batch: dict[str, Any],
        *,
        loss: Callable[[Tensor, Tensor], Tensor],
        progress: float,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Return the labelled images' loss and the student's squared difference from the teacher."""
        assert self.teacher is not None
        supervised = loss(network(batch["image"]), batch["target"])
        with torch.no_grad():
            taught = self.teacher.eval()(batch["pool"]["weak"]).float().softmax(1)
        with unrecorded(network):
            learned = network(batch["pool"]["strong"]).float().softmax(1)
        self.judgement = Judgement(taught.argmax(1), torch.ones(len(taught), dtype=torch.bool, device=taught.device))
        risen = math.exp(-5 * (1 - ramp(progress, self.ramp_share)) ** 2)
        return supervised, self.weight * risen * (learned - taught).square().mean()

    @torch.no_grad()
    def after_step(self, network: nn.Module) -> None:
        """Move the teacher: ``teacher = d * teacher + (1 - d) * student``, ``d = min(decay, 1 - 1 / step)``."""
        assert self.teacher is not None
        self.steps += 1
        share = (1 / self.steps).clamp(min=1 - self.decay)
        for mine, theirs in zip(self.teacher.state_dict().values(), network.state_dict().values(), strict=True):
            mine.lerp_(theirs, share.to(mine.dtype)) if mine.is_floating_point() else mine.copy_(theirs)
