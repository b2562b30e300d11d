"""Read a run's metrics, predictions and learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from skinlab.evaluation.predictions import PREFIX
from skinlab.json_files import NUMBER, read_json
from skinlab.tables.csv_files import numbers, read_csv


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a predictions table; names are read as text, also those that look like numbers."""
    table = read_csv(path, ["image_id", "label"])
    return table.assign(**{name: numbers(table[name]) for name in table.columns if name.startswith(PREFIX)})


def scored_predictions(run_dir: Path, metrics: Mapping[str, Any]) -> tuple[str, pd.DataFrame]:
    """Return ``test`` if it was opened and has labels, else ``val``, with its labelled rows."""
    opened = any(name.startswith("test/") for name in metrics)
    table = pd.DataFrame()
    for split in ("test", "val") if opened else ("val",):
        path = run_dir / "predictions" / f"{split}.csv"
        if path.is_file():
            table = read_predictions(path)
            table = table[table["label"] != ""].reset_index(drop=True)
            if len(table):
                break
    return split, table


def read_metrics(run_dir: Path) -> dict[str, Any]:
    """Read ``metrics.json``, name → metric."""
    metrics: dict[str, Any] = read_json(run_dir / "metrics.json", "metrics of a run", {"best/epoch": NUMBER})
    return metrics


def learning_curves(run_dir: Path) -> pd.DataFrame:
    """Return one row an epoch with the metrics logged at its end; no rows where no CSV was kept."""
    path = run_dir / "csv" / "metrics.csv"
    if not path.exists():
        return pd.DataFrame()
    rows = read_csv(path, ["epoch"]).apply(numbers)
    ends = rows.dropna(subset="epoch").groupby("epoch").last()
    return ends.set_axis(ends.index.astype(int))
