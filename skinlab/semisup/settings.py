"""What the strategies' settings may be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skinlab.errors import UserError


def in_range(name: str, value: float, low: float, high: float) -> float:
    """Return a setting, or refuse one outside [low, high].

    >>> in_range("momentum", 0.9, 0, 1)
    0.9
    """
    if not low <= value <= high:
        raise UserError(f"semi.{name}={value} is out of range: choose from {low:g} to {high:g}")
    return value


def prior_tensor(prior: Sequence[float]) -> Tensor:
    """Return class shares that sum to one, (C,), from shares or counts.

    >>> prior_tensor([30, 10])
    tensor([0.7500, 0.2500])
    """
    if len(prior) < 2 or not all(share > 0 for share in prior):
        raise UserError(f"semi.prior={list(prior)}: give a share above 0 for each class")
    shares = torch.tensor(prior, dtype=torch.float64)
    return (shares / shares.sum()).float()


def ramp(progress: float, share: float) -> float:
    """Return how far a weight has risen, from 0 at the run's start to 1 once a share of its steps is done.

    >>> [ramp(p, 0.5) for p in (0.0, 0.25, 0.5, 1.0)], ramp(0.0, 0.0)
    ([0.0, 0.5, 1.0, 1.0], 1.0)
    """
    return min(progress / share, 1.0) if share else 1.0
