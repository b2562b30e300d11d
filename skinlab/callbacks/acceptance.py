"""Record the pseudo-labels that a semi-supervised strategy accepts, and their precision where classes are known."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

from skinlab.files import write_text
from skinlab.models.strategy import PseudoLabels, Strategy

log = logging.getLogger(__name__)


def count_accepted(pseudo_labels: PseudoLabels, hidden: Tensor, n_classes: int) -> Tensor:
    """Count the pool images of each pseudo-label: all, accepted, accepted of known class, and correct among these.

    Args:
        pseudo_labels: of images `(P,)`, and which of them were accepted.
        hidden: true classes `(P,)`, -1 where unknown.
        n_classes: C.

    Returns:
        Counts `(C, 4)`.

    >>> pseudo_labels = PseudoLabels(torch.tensor([0, 0, 1, 1]), torch.tensor([True, True, True, False]))
    >>> count_accepted(pseudo_labels, torch.tensor([0, 1, -1, 1]), 2).tolist()
    [[2, 2, 2, 1], [2, 1, 0, 0]]
    """
    label, accepted = pseudo_labels
    known = accepted & (hidden >= 0)
    chosen = (torch.ones_like(accepted), accepted, known, known & (hidden == label))
    return torch.stack([torch.bincount(label[mask], minlength=n_classes) for mask in chosen], 1)


def acceptance_table(counts: Tensor, classes: Sequence[str], epoch: int) -> pd.DataFrame:
    """Return a row a class: `judged`, `accepted`, its `share` of all accepted, and `precision` where classes are known.

    Args:
        counts: of :func:`count_accepted` `(C, 4)`.
        classes: class names.
        epoch: that the counts are of.
    """
    table = pd.DataFrame(counts.cpu().numpy(), columns=["judged", "accepted", "known", "right"])
    table.insert(0, "epoch", epoch)
    table.insert(1, "class", list(classes))
    table.insert(4, "share", table["accepted"] / max(table["accepted"].sum(), 1))
    return table.assign(precision=table["right"] / table["known"].where(table["known"] > 0))


class AcceptanceLog(pl.Callback):
    """Writes a row an epoch and class, and logs semi/accepted (a share) and, where classes are known, semi/precision.

    The steps only keep their pseudo-labels, on the device; they are counted at the epoch's end.

    Args:
        path: of the CSV.
        classes: class names in the order of the logits.
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self.path, self.classes = path, list(classes)
        self.steps: list[tuple[Tensor, PseudoLabels]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the pseudo-labels of the last epoch."""
        self.steps = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the step's pseudo-labels."""
        strategy = pl_module.semi
        assert isinstance(strategy, Strategy)
        assert strategy.pseudo_labels is not None
        self.steps.append((batch["pool"]["row"], strategy.pseudo_labels))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count, log and write; an epoch that a resumed run repeats replaces its rows."""
        row = torch.cat([row for row, _ in self.steps]).cpu()
        whole = PseudoLabels(*(torch.cat(parts).cpu() for parts in zip(*(j for _, j in self.steps), strict=True)))
        hidden = trainer.datamodule.hidden_targets(row)  # type: ignore[attr-defined]
        counts = count_accepted(whole, hidden, len(self.classes)).to(pl_module.device)
        counts = trainer.strategy.reduce(counts, reduce_op="sum").long()
        judged, accepted, known, right = counts.sum(0).tolist()
        pl_module.log("semi/accepted", accepted / max(judged, 1))
        if known:
            pl_module.log("semi/precision", right / known)
        if trainer.is_global_zero:
            self._write(acceptance_table(counts, self.classes, trainer.current_epoch))

    def _write(self, table: pd.DataFrame) -> None:
        if self.path.is_file():
            try:
                before = pd.read_csv(self.path, keep_default_na=False, na_values={"precision": [""]})[table.columns]
                table = pd.concat([before[before["epoch"] < table["epoch"].iloc[0]], table])
            except (ValueError, KeyError, TypeError) as error:
                log.warning("%s is damaged (%s) and starts again with this epoch", self.path, error)
        write_text(self.path, table.to_csv(index=False))
