"""Read a run's metrics, predictions and learning curves, and name its best epoch with the metric that chose it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from skinlab.evaluation.predictions import PREFIX
from skinlab.json_files import NUMBER, read_json
from skinlab.tables.csv_files import numbers, read_csv

BY = "val/balanced_accuracy"
OPTIMA = {"min": "lowest", "max": "highest"}


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


def best_epoch_words(metrics: Mapping[str, Any], run_dir: Path) -> str:
    """Return such as ``best epoch 1 of 2, by val/loss (lowest)``.

    Args:
        metrics: as in ``metrics.json``; older ones name no monitor.
        run_dir: of the run; its CSV log has the number of epochs where the training ended before ``max_epochs``.
    """
    curves, number = learning_curves(run_dir), metrics["best/epoch"] + 1
    n_epochs = metrics.get("max_epochs") if curves.empty else curves.index.max() + 1
    words = f"best epoch {number}" + (f" of {n_epochs}" if n_epochs else "")
    if monitor := metrics.get("monitor"):
        words += ", the last" if monitor == "epoch" else f", by {monitor} ({OPTIMA[metrics['best/mode']]})"
    return words


def better_epoch(metrics: Mapping[str, Any], run_dir: Path) -> str:
    """Name the epoch whose balanced accuracy is more than one standard error above that of the best epoch.

    The standard error is that of a mean of recalls of independent images; within one, models count as equally good
    (Breiman et al., 1984, Classification and Regression Trees, section 3.4.3).

    Args:
        metrics: as in ``metrics.json``.
        run_dir: of the run, with its CSV log.

    Returns:
        A sentence; "" where there is no such epoch, no log, or the balanced accuracy is the monitor.
    """
    curves, best = learning_curves(run_dir), metrics["best/epoch"]
    if metrics.get("monitor") in (None, BY) or BY not in curves:
        return ""
    values = {int(epoch): float(value) for epoch, value in zip(curves.index, curves[BY], strict=True) if value == value}
    other = max(values, key=lambda epoch: values[epoch])
    error = _standard_error(metrics)
    if best not in values or not values[other] - values[best] > error:
        return ""
    return (
        f"by {BY} epoch {other + 1} is better: {values[other]:.3f} against {values[best]:.3f}, more than a standard "
        f"error ({error:.3f}); to choose the epoch by it: callbacks.monitor={BY}"
    )


def _standard_error(metrics: Mapping[str, Any]) -> float:
    """Return the standard error of the validation's balanced accuracy; NaN where recalls or their images are unknown.

    >>> round(_standard_error({"val/recall/a": 0.5, "val/support/a": 25, "val/recall/b": 1.0, "val/support/b": 9}), 3)
    0.05
    """
    prefix = "val/support/"
    counts = {name.removeprefix(prefix): n for name, n in metrics.items() if name.startswith(prefix) and n}
    recalls = {name: metrics.get(f"val/recall/{name}", math.nan) for name in counts}
    if not counts:
        return math.nan
    return math.sqrt(sum(r * (1 - r) / counts[name] for name, r in recalls.items())) / len(counts)
