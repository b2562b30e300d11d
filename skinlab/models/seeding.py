"""Seeds of an epoch, so that a resumed run draws the same random numbers as an uninterrupted one."""

from __future__ import annotations

import numpy as np
import pytorch_lightning as pl
import torch


def seed_epoch(module: pl.LightningModule, seed: int) -> np.random.Generator:
    """Seed torch and the returned generator by (seed, epoch, rank)."""
    rng = np.random.default_rng([seed, module.current_epoch, module.global_rank])
    torch.manual_seed(int(rng.integers(2**63 - 1)))
    return rng
