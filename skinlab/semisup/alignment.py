"""Against a skewed pool's pull to the majority: aligned predictions, and a threshold for each class."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn


def align(probabilities: Tensor, target: Tensor, seen: Tensor) -> Tensor:
    """Scale predictions by ``target / seen`` and normalise (ReMixMatch, Berthelot et al., 2020, arXiv 1911.09785).

    Args:
        probabilities: `(B, C)`.
        target: class shares that the predictions should have on the whole `(C,)`.
        seen: class shares that they have had so far `(C,)`.

    >>> align(torch.tensor([[0.8, 0.2]]), torch.tensor([0.5, 0.5]), torch.tensor([0.8, 0.2]))
    tensor([[0.5000, 0.5000]])
    """
    scaled = probabilities * (target / seen.clamp(min=1e-6))
    return scaled / scaled.sum(1, keepdim=True)


def class_thresholds(taken: Tensor, prior: Tensor, base: float, least: float) -> Tensor:
    """Return each class's threshold: the base one for the class learned best, lower ones for those that lag behind.

    FlexMatch's curriculum (Zhang et al., 2021, arXiv 2110.08263): ``beta / (2 - beta)`` of the base, beta being how
    many images a class has been given with confidence, relative to the best class. Here they are first divided by how
    many of the class the prior lets expect, which is the paper's rule where classes are even; else a rare class would
    count as unlearned for being rare. The span is from `least`, not from 0, which would take in any image; before
    anything was taken all classes have the base threshold.

    Args:
        taken: share of the images that were given each class with at least the base confidence `(C,)`.
        prior: share of images that each class should have `(C,)`.
        base: threshold of the class learned best.
        least: threshold of a class that gets nothing.

    >>> class_thresholds(torch.tensor([0.4, 0.1, 0.0]), torch.tensor([0.5, 0.25, 0.25]), 0.9, 0.6)
    tensor([0.9000, 0.7000, 0.6000])
    """
    status = taken / prior
    beta = torch.where(status.max() > 0, status / status.max(), 1.0)
    return (least + (base - least) * beta / (2 - beta)).clamp(max=base)


class RunningMean(nn.Module):
    """A mean over steps and processes: plain over the first ones, then exponential; moves with every batch.

    Args:
        size: length of what is averaged.
        momentum: share of the old mean that a step leaves once ``1 / (1 - momentum)`` steps are done.

    >>> mean = RunningMean(1, momentum=0.5)
    >>> [float(mean.update(torch.tensor([value]))) for value in (4.0, 2.0, 1.0)]
    [4.0, 3.0, 2.0]
    """

    value: Tensor
    steps: Tensor

    def __init__(self, size: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(size))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, new: Tensor) -> Tensor:
        """Take in a step's values `(size,)`, the mean of this process, and return the mean so far."""
        if dist.is_available() and dist.is_initialized():
            new = new.clone()
            dist.all_reduce(new)
            new /= dist.get_world_size()
        self.steps += 1
        self.value += (1 / self.steps).clamp(min=1 - self.momentum) * (new - self.value)
        return self.value


class DistributionAlignment(nn.Module):
    """Predictions aligned with a prior by their own running mean.

    Args:
        prior: class shares to align with `(C,)`.
        momentum: of the running mean.
    """

    prior: Tensor

    def __init__(self, prior: Tensor, momentum: float) -> None:
        super().__init__()
        self.register_buffer("prior", prior, persistent=False)
        self.seen = RunningMean(len(prior), momentum)

    def forward(self, probabilities: Tensor) -> Tensor:
        """Map probabilities `(B, C)`, which the mean takes in, to aligned ones."""
        return align(probabilities, self.prior, self.seen.update(probabilities.mean(0)))


class ClassThresholds(nn.Module):
    """Thresholds that follow how much of each class is taken.

    Args:
        prior: share of images that each class should have `(C,)`.
        base: threshold of the class learned best.
        least: threshold of a class that gets nothing; as high as the base one, all classes share it.
        momentum: of the running shares.
    """

    prior: Tensor

    def __init__(self, prior: Tensor, base: float, least: float, momentum: float) -> None:
        super().__init__()
        self.base, self.least = base, least
        self.register_buffer("prior", prior, persistent=False)
        self.taken = RunningMean(len(prior), momentum)

    def forward(self, confidence: Tensor, label: Tensor) -> Tensor:
        """Map confidences and guessed classes `(B,)`, which the shares take in, to the images' thresholds `(B,)`."""
        sure = nn.functional.one_hot(label, len(self.prior)) * (confidence >= self.base)[:, None]
        taken = self.taken.update(sure.float().mean(0))
        return class_thresholds(taken, self.prior, self.base, self.least)[label]
