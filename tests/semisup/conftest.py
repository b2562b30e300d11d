"""Small networks and batches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

PRIOR = [0.6, 0.3, 0.1]


@pytest.fixture
def network() -> nn.Module:
    """Maps images of 8 px to three logits, through a BatchNorm."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3)).train()


@pytest.fixture
def batch() -> dict[str, Any]:
    """Four labelled images and eight of the pool in two views, normalised."""
    draw = torch.Generator().manual_seed(1)
    weak, strong = torch.randn(2, 8, 3, 8, 8, generator=draw)
    return {
        "image": torch.randn(4, 3, 8, 8, generator=draw),
        "target": torch.tensor([0, 1, 0, 2]),
        "row": torch.arange(4),
        "pool": {"weak": weak, "strong": strong, "row": torch.arange(8)},
    }


@pytest.fixture
def step() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Call a strategy on a network and a batch with plain cross-entropy."""

    def call(strategy: nn.Module, network: nn.Module, batch: dict[str, Any], progress: float = 1.0, seed: int = 0):
        rng = np.random.default_rng(seed)
        return strategy(network, batch, loss=nn.functional.cross_entropy, progress=progress, rng=rng)

    return call


@pytest.fixture
def probabilities(network: nn.Module) -> Callable[[torch.Tensor], np.ndarray]:
    """What the network predicts for a batch that it normalises by itself, on a copy that keeps its statistics."""
    import copy

    def predict(images: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return copy.deepcopy(network).train()(images).double().softmax(1).numpy()

    return predict
