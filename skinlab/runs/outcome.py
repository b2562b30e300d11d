"""The outcome of a run: the facts that every run records, and predictions tables and metrics of a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl

from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import FLOAT_FORMAT, table_arrays
from skinlab.files import write_json, write_text
from skinlab.runs.provenance import InitFacts
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.run import RunSettings


class RunFacts(InitFacts):
    """What every run records in ``metrics.json`` and with its backbone, beside :func:`training_limits`."""

    precision: str
    compile: bool | str
    run_id: str | None
    split_sha256: str


def run_facts(settings: RunSettings, trainer: pl.Trainer, start: InitFacts, split_hash: str) -> dict[str, Any]:
    """Return the :class:`RunFacts` of a fitted run, with the limits that its settings put on the training."""
    facts: RunFacts = {
        **start,
        "precision": str(trainer.precision),
        "compile": settings.model.compile,
        "run_id": settings.run_id,
        "split_sha256": split_hash,
    }
    return {**facts, **training_limits(trainer)}


def training_limits(trainer: pl.Trainer) -> dict[str, Any]:
    """Return where settings such as ``debug=fast`` kept a training from all batches or epochs, {} where none did.

    Args:
        trainer: after its fit.

    Returns:
        ``train_batches`` and ``val_batches`` of an epoch with those ``…_available``; ``steps_trained`` of
        ``steps_planned`` where ``max_steps`` or ``max_time`` ended the training before ``max_epochs``.
    """
    found: dict[str, Any] = {}
    loaders = {"train": trainer.train_dataloader, "val": trainer.val_dataloaders}
    used = {"train": trainer.num_training_batches, "val": sum(trainer.num_val_batches)}
    for part, loader in loaders.items():
        if loader is not None and used[part] < len(loader):
            found |= {f"{part}_batches": int(used[part]), f"{part}_batches_available": len(loader)}
    patience_ran_out = any(each.stopped_epoch > 0 for each in trainer.early_stopping_callbacks)
    planned = (trainer.max_epochs or 0) * -(-trainer.num_training_batches // trainer.accumulate_grad_batches)
    if trainer.global_step < planned and not patience_ran_out:
        found |= {"steps_trained": trainer.global_step, "steps_planned": int(planned)}
    return found


def best_epoch(
    settings: RunSettings, checkpoint: Mapping[str, Any], monitor: str, mode: str, value: float
) -> dict[str, Any]:
    """Return the entries of ``metrics.json`` about the best epoch, with the number of all."""
    return {
        "best/epoch": checkpoint["epoch"],
        "best/mode": mode,
        "best/monitor": value,
        "monitor": monitor,
        "max_epochs": settings.trainer.max_epochs,
    }


def write_predictions(run_dir: Path, tables: Mapping[str, pd.DataFrame], meta: Mapping[str, Any]) -> None:
    """Write the predictions table of each split and ``meta.json`` into ``predictions/``."""
    for split, table in tables.items():
        write_text(run_dir / "predictions" / f"{split}.csv", table.to_csv(index=False, float_format=FLOAT_FORMAT))
    write_json(run_dir / "predictions" / "meta.json", dict(meta))


def run_metrics(
    best: Mapping[str, Any], settings: TrainSettings, validation: pd.DataFrame, positive: str | None
) -> dict[str, Any]:
    """Return the metrics of a training, flat name → value; none of the test, which is opened later.

    Args:
        best: content of the checkpoint of the best epoch.
        settings: of the run.
        validation: predictions table.
        positive: the positive one of two classes.
    """
    found = classification_metrics(*table_arrays(validation), positive)
    metrics: dict[str, Any] = {f"val/{name}": value for name, value in found.items()}
    if positive:
        metrics["positive"] = positive
    metrics["val/loss"] = best["validation"]["val/loss"]
    monitor = settings.callbacks.monitor
    return metrics | best_epoch(settings, best, monitor, settings.callbacks.mode, best["validation"][monitor])
