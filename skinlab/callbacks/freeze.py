"""Train the head alone first, then fine-tune (Kumar et al., 2022, arXiv 2202.10054)."""

from __future__ import annotations

import pytorch_lightning as pl
from torch import nn

from skinlab.models.backbone import head_parameters


class FreezeBackbone(pl.Callback):
    """Trains only the head for the first epochs; the backbone's norms keep their statistics meanwhile.

    Args:
        epochs: how many epochs the backbone is frozen.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Freeze or unfreeze by the number of the epoch, so that a resumed run does the same."""
        frozen = trainer.current_epoch < self.epochs
        network: nn.Module = pl_module.network  # type: ignore[assignment]
        head = head_parameters(network)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(not frozen or name in head)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train(not frozen)
