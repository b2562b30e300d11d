"""A sweep of untrained classifiers in tests: runs over folds and seeds, with predictions and thresholds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skinlab.inference.bundle import load_bundle
from tests.run_directory import write_run

CLASSES = ["benign", "malignant"]
CE, FOCAL = "skinlab.losses.cross_entropy.CrossEntropy", "skinlab.losses.focal.Focal"


def split_of(paths: Sequence[str], fold: int, n_folds: int = 2) -> pd.DataFrame:
    """The manifest of a run: images dealt into folds, each a group of its own."""
    frame = pd.DataFrame({"image_id": [Path(path).name for path in paths], "path": paths, "source": ""})
    frame["group"] = frame["image_id"]
    frame["label"] = [CLASSES[i % 3 == 0] for i in range(len(paths))]
    frame["fold"] = [i % n_folds for i in range(len(paths))]
    frame["split"] = np.where(frame["fold"] == fold, "val", "train")
    return frame


def predicted(split: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Predictions of the validation rows, of some skill."""
    rows = split[split["split"] == "val"]
    truth = (rows["label"] == "malignant").to_numpy()
    p = (np.random.default_rng(seed).uniform(0, 0.7, len(rows)) + 0.3 * truth).round(6)
    return rows.drop(columns="path").assign(prob_benign=(1 - p).round(6), prob_malignant=p)


def write_member(
    folder: Path,
    save_classifier: Callable[..., Path],
    paths: Sequence[str],
    *,
    fold: int = 0,
    seed: int = 0,
    loss: str = CE,
    threshold: Mapping[str, Any] | None = None,
) -> Path:
    """A finished run with a checkpoint, validation predictions and the threshold of one rule, f1."""
    save_classifier(folder / "checkpoints" / "best.ckpt", CLASSES, seed=10 * seed + fold)
    config = {"seed": seed, "run_id": "x", "trainer": {"max_epochs": 1}, "loss": {"_target_": loss}}
    config |= {"model": {"name": "test_resnet", "init": "random", "freeze_epochs": 0}, "plugins": []}
    split = split_of(paths, fold)
    run = write_run(
        folder,
        config=config | {"data": {"fold": fold, "n_folds": 2}},
        metrics={"init_used": "random", "run_id": "x"},
        meta={"classes": CLASSES, "checkpoint_sha256": load_bundle(folder).sha256},
        split=split,
        val=predicted(split, 10 * seed + fold),
    )
    row = {"rule": "f1", "threshold": 0.5, "low": 0.4, "high": 0.6, "positives": 9, "chosen_on": "val, 9 images"}
    row |= {"rows_sha256": "", "positive": ["malignant"], "cost_ratio": 10.0, **(threshold or {})}
    (run / "thresholds.json").write_text(json.dumps({folder.name: [row]}))
    return run
