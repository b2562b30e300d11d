"""Randomness that a resumed run draws as if it had never stopped."""

from __future__ import annotations

import numpy as np
import pytorch_lightning as pl
import torch


def seed_epoch(module: pl.LightningModule, seed: int) -> np.random.Generator:
    """Make the epoch's randomness, torch's and the returned generator's, a function of (seed, epoch, rank)."""
    rng = np.random.default_rng([seed, module.current_epoch, module.global_rank])
    torch.manual_seed(int(rng.integers(2**63 - 1)))
    return rng
