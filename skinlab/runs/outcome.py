"""Write the outcome of a training: predictions tables and ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from skinlab.evaluation.metrics import classification_metrics
from skinlab.evaluation.predictions import DECIMALS, table_arrays
from skinlab.files import write_json, write_text
from skinlab.models.weights import read_checkpoint
from skinlab.settings.train import TrainSettings


def write_predictions(run_dir: Path, tables: Mapping[str, pd.DataFrame], meta: Mapping[str, Any]) -> None:
    """Write the predictions table of each split and ``meta.json`` into ``predictions/``."""
    for split, table in tables.items():
        write_text(run_dir / "predictions" / f"{split}.csv", table.to_csv(index=False, float_format=DECIMALS))
    write_json(run_dir / "predictions" / "meta.json", dict(meta))


def run_metrics(
    run_dir: Path, settings: TrainSettings, tables: Mapping[str, pd.DataFrame], positive: str | None
) -> dict[str, Any]:
    """Return the metrics of a training, flat name → value.

    Args:
        run_dir: with ``checkpoints/best.ckpt``.
        settings: of the run.
        tables: split → predictions table.
        positive: the positive one of two classes.
    """
    metrics: dict[str, Any] = {}
    for split, table in tables.items():
        found = classification_metrics(*table_arrays(table), positive)
        metrics |= {f"{split}/{name}": value for name, value in found.items()}
    best: dict[str, Any] = read_checkpoint(run_dir / "checkpoints" / "best.ckpt")
    if positive:
        metrics["positive"] = positive
    return metrics | {
        "val/loss": best["validation"]["val/loss"],
        "best/epoch": best["epoch"],
        "best/mode": settings.callbacks.mode,
        "best/monitor": best["validation"][settings.callbacks.monitor],
        "max_epochs": settings.trainer.max_epochs,
        "run_id": settings.run_id,
    }
