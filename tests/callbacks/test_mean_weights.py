import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from skinlab.callbacks.mean_weights import MeanWeights


class Steps(pl.LightningModule):
    """A weight that is lowered by one with every step, and its values in validation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.validated = nn.Parameter(torch.zeros(())), []

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.weight

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.validated.append(self.weight.item())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize(
    ("start", "validated"),
    [(3, [-2.0, -4.0, -6.0]), (2, [-2.0, -4.0, -5.0]), (1, [-2.0, -3.0, -4.0]), (0, [-1.5, -2.5, -3.5])],
)
def test_the_mean_of_the_last_epochs_is_validated_and_kept(start, validated):
    """From an epoch on, the mean also has the last weights before it."""
    module = Steps()
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", callbacks=[MeanWeights(start)], num_sanity_val_steps=0, **silent
    )
    trainer.fit(module, DataLoader(torch.zeros(2)), DataLoader(torch.zeros(1)))
    assert module.validated == validated
    assert module.weight.item() == validated[-1]
