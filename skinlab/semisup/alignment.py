"""Distribution alignment and class-wise thresholds, against a bias of pseudo-labels towards frequent classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from skinlab.errors import UserError


def prior_tensor(prior: Sequence[float]) -> Tensor:
    """Return class shares that sum to one, (C,), from shares or counts.

    >>> prior_tensor([30, 10])
    tensor([0.7500, 0.2500])
    """
    if len(prior) < 2 or not all(share > 0 for share in prior):
        raise UserError(f"semi.prior={list(prior)}: give a share above 0 for each class")
    shares = torch.tensor(prior, dtype=torch.float64)
    return (shares / shares.sum()).float()


def align(probabilities: Tensor, target: Tensor, mean: Tensor) -> Tensor:
    """Scale predictions by ``target / mean`` and normalise (ReMixMatch, Berthelot et al., 2020, arXiv 1911.09785).

    Args:
        probabilities: `(B, C)`.
        target: class shares that the mean prediction should have `(C,)`.
        mean: class shares of the mean prediction so far `(C,)`.

    >>> align(torch.tensor([[0.8, 0.2]]), torch.tensor([0.5, 0.5]), torch.tensor([0.8, 0.2]))
    tensor([[0.5000, 0.5000]])
    """
    scaled = probabilities * (target / mean.clamp(min=1e-6))
    return scaled / scaled.sum(1, keepdim=True)


def class_thresholds(taken: Tensor, prior: Tensor, base: float, lowest: float) -> Tensor:
    """Return each class's threshold: the base one for the class learned best, lower ones for the others.

    FlexMatch's curriculum (Zhang et al., 2021, arXiv 2110.08263): ``beta / (2 - beta)`` of the base, beta being the
    number of images assigned to a class with confidence, relative to the best class. Here these numbers are first
    divided by the prior, which is the paper's rule for balanced classes; otherwise a rare class would count as not
    learned because it is rare. Thresholds begin at `lowest`, not at 0, which would accept any image; while no image was
    assigned, all classes have the base threshold.

    Args:
        taken: share of the images that were assigned to each class with at least the base confidence `(C,)`.
        prior: expected share of each class `(C,)`.
        base: threshold of the class learned best.
        lowest: threshold of a class without images.

    >>> class_thresholds(torch.tensor([0.4, 0.1, 0.0]), torch.tensor([0.5, 0.25, 0.25]), 0.9, 0.6)
    tensor([0.9000, 0.7000, 0.6000])
    """
    status = taken / prior
    beta = torch.where(status.max() > 0, status / status.max(), 1.0)
    return (lowest + (base - lowest) * beta / (2 - beta)).clamp(max=base)


class RunningMean(nn.Module):
    """A mean over steps and processes: arithmetic over the first steps, then exponential.

    Args:
        size: length of the averaged vectors.
        momentum: share of the old mean in the new one after ``1 / (1 - momentum)`` steps.

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
        """Add a step's values `(size,)`, the mean of this process, and return the mean so far."""
        if dist.is_available() and dist.is_initialized():
            new = new.clone()
            dist.all_reduce(new)
            new /= dist.get_world_size()
        self.steps += 1
        self.value += (1 / self.steps).clamp(min=1 - self.momentum) * (new - self.value)
        return self.value


class DistributionAlignment(nn.Module):
    """Aligns predictions with a prior by their running mean.

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
        """Add probabilities `(B, C)` to the running mean and return them aligned."""
        return align(probabilities, self.prior, self.seen.update(probabilities.mean(0)))


class ClassThresholds(nn.Module):
    """Class-wise thresholds that follow the share of images assigned to each class.

    Args:
        prior: expected share of each class `(C,)`.
        base: threshold of the class learned best.
        lowest: threshold of a class without images; equal to `base` for one threshold of all classes.
        momentum: of the running shares.
    """

    prior: Tensor

    def __init__(self, prior: Tensor, base: float, lowest: float, momentum: float) -> None:
        super().__init__()
        self.base, self.lowest = base, lowest
        self.register_buffer("prior", prior, persistent=False)
        self.taken = RunningMean(len(prior), momentum)

    def forward(self, confidence: Tensor, label: Tensor) -> Tensor:
        """Add confidences and pseudo-labels `(B,)` to the running shares; return the images' thresholds `(B,)`."""
        confident = nn.functional.one_hot(label, len(self.prior)) * (confidence >= self.base)[:, None]
        taken = self.taken.update(confident.float().mean(0))
        return class_thresholds(taken, self.prior, self.base, self.lowest)[label]
