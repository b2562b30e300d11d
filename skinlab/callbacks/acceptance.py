"""What a semi-supervised strategy accepted of the pool, and how right it was where the truth is known but hidden."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

from skinlab.models.strategy import Judgement, Strategy

log = logging.getLogger(__name__)


def count_accepted(judgement: Judgement, hidden: Tensor, n_classes: int) -> Tensor:
    """Count the pool images of each guessed class: judged, accepted, accepted of known truth, and right among these.

    Args:
        judgement: classes guessed for images `(P,)`, and which of them were accepted.
        hidden: true classes `(P,)`, -1 where unknown.
        n_classes: C.

    Returns:
        Counts `(C, 4)`.

    >>> judgement = Judgement(torch.tensor([0, 0, 1, 1]), torch.tensor([True, True, True, False]))
    >>> count_accepted(judgement, torch.tensor([0, 1, -1, 1]), 2).tolist()
    [[2, 2, 2, 1], [2, 1, 0, 0]]
    """
    label, accepted = judgement
    known = accepted & (hidden >= 0)
    chosen = (torch.ones_like(accepted), accepted, known, known & (hidden == label))
    return torch.stack([torch.bincount(label[mask], minlength=n_classes) for mask in chosen], 1)


def acceptance_table(counts: Tensor, classes: Sequence[str], epoch: int) -> pd.DataFrame:
    """Return a row a class: `judged`, `accepted`, its `share` of all accepted, and `precision` where truth is known.

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
    """Writes a row an epoch and class, and logs semi/accepted (a share) and, where truth is known, semi/precision.

    The steps only keep what was judged, on the device it is on; everything is counted at the epoch's end.

    Args:
        path: of the CSV.
        classes: class names in the order of the logits.
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self.path, self.classes = path, list(classes)
        self.judged: list[tuple[Tensor, Judgement]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start from nothing."""
        self.judged = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the step's judgement."""
        strategy = pl_module.semi
        assert isinstance(strategy, Strategy)
        assert strategy.judgement is not None
        self.judged.append((batch["pool"]["row"], strategy.judgement))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count, log and write; an epoch that a resumed run repeats replaces its rows."""
        row = torch.cat([row for row, _ in self.judged]).cpu()
        whole = Judgement(*(torch.cat(parts).cpu() for parts in zip(*(j for _, j in self.judged), strict=True)))
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
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        table.to_csv(temporary, index=False)
        temporary.replace(self.path)
