"""The end of a run: its best checkpoint predicts val and test once, and the figures come from those tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skinlab.data.datamodule import SkinDataModule
from skinlab.evaluation.metrics import classification_metrics
from skinlab.evaluation.predictions import DECIMALS, predictions_table, table_arrays
from skinlab.models.bundle import Bundle, best_device, load_bundle
from skinlab.models.inference import predict_probabilities
from skinlab.models.weights import read_checkpoint
from skinlab.runtime.run_directory import write_json, write_text


def write_outcome(
    run_dir: Path, datamodule: SkinDataModule, config: dict[str, Any], facts: dict[str, Any]
) -> dict[str, Any]:
    """Write ``predictions/`` and ``metrics.json``.

    Args:
        run_dir: with ``checkpoints/best.ckpt``.
        datamodule: of the run.
        config: of the run.
        facts: what else belongs into the metrics, such as ``init_used``.

    Returns:
        The metrics, flat name → value.
    """
    bundle = load_bundle(run_dir)
    metrics: dict[str, Any] = {}
    for split in ("val", "test"):
        if len(datamodule.rows(split)):
            figures = predict_split(bundle, datamodule, split, run_dir)
            metrics |= {f"{split}/{name}": value for name, value in figures.items()}
    write_json(
        run_dir / "predictions" / "meta.json", bundle.meta(run_id=config["run_id"], tta="none", loss=facts["loss"])
    )
    best: dict[str, Any] = read_checkpoint(run_dir / "checkpoints" / "best.ckpt")
    validation = best["validation"]
    if bundle.positive_output:
        metrics["positive"] = bundle.positive_output
    metrics |= {
        "val/loss": validation["val/loss"],
        "best/epoch": best["epoch"],
        "best/mode": config["callbacks"]["mode"],
        "best/monitor": validation[config["callbacks"]["monitor"]],
        "max_epochs": config["trainer"]["max_epochs"],
        "split_sha256": datamodule.prepared.split_hash,
        "run_id": config["run_id"],
    } | facts
    write_json(run_dir / "metrics.json", metrics)
    return metrics


def predict_split(bundle: Bundle, datamodule: SkinDataModule, split: str, run_dir: Path) -> dict[str, float]:
    """Write the predictions table of a split and return its figures, which are those of the table as written."""
    device = best_device()
    probabilities = predict_probabilities(
        bundle.classifier.to(device), datamodule.inference_loader(split), device=device
    )
    table = predictions_table(datamodule.rows(split), np.round(probabilities, 6), bundle.classes)
    write_text(run_dir / "predictions" / f"{split}.csv", table.to_csv(index=False, float_format=DECIMALS))
    return classification_metrics(*table_arrays(table), bundle.positive_output)
