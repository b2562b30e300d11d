"""Log the final metrics of a run on W&B, and charts of its predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import wandb

from skinlab.data.images import read_image
from skinlab.evaluation.metrics.curves import precision_recall_steps
from skinlab.evaluation.predictions import table_arrays
from skinlab.report.run_files import scored_predictions
from skinlab.tracking.fault_tolerant_loggers import FaultTolerantWandbLogger

N_MISTAKES = 32  # shown
SIDE = 224  # of their images, in pixels
RECALLS = np.linspace(0, 1, 101)


def log_wandb_outcome(
    logger: FaultTolerantWandbLogger,
    run_dir: Path,
    metrics: Mapping[str, Any],
    *,
    step: int,
    fit: str,
) -> None:
    """Set the metrics of W&B's summary to those of ``metrics.json``, and log the pictures.

    Args:
        logger: W&B's.
        run_dir: with ``predictions/``.
        metrics: as in ``metrics.json``.
        step: optimiser steps done.
        fit: how the images were cut for the network.
    """
    split, table = scored_predictions(run_dir, metrics)
    logger.log_summary(metrics)  # first: the pictures ask the server, which may be gone by now
    logger.log_metrics(media(split, table, fit), step)


def media(split: str, table: pd.DataFrame, fit: str = "crop") -> dict[str, Any]:
    """Return what W&B shows of a predictions table: confusion matrix, PR curves and the worst mistakes.

    Args:
        split: name of the table's split, the prefix of the names.
        table: predictions with labels and paths.
        fit: how the images were cut for the network.
    """
    probabilities, target, classes = table_arrays(table)
    predicted = probabilities.argmax(1)
    confusion = wandb.plot.confusion_matrix(
        y_true=target.tolist(),
        preds=predicted.tolist(),
        class_names=classes,
        title=f"Confusion matrix (most probable class), {split}",
    )
    curves = wandb.plot_table(
        "wandb/area-under-curve/v0",
        wandb.Table(dataframe=precision_at_recall(probabilities, target, classes)),
        {"x": "recall", "y": "precision", "class": "class"},
        {"title": f"Precision and recall, {split}", "x-axis-title": "Recall", "y-axis-title": "Precision"},
    )
    mistakes = worst_mistakes(table)
    paths = mistakes.pop("path")
    shown = wandb.Table(columns=["image", *mistakes.columns])
    for path, row in zip(paths, mistakes.to_numpy(object), strict=True):
        shown.add_data(wandb.Image(read_image(path, SIDE, fit), file_type="jpg"), *row)
    return {f"{split}/confusion_matrix": confusion, f"{split}/pr_curves": curves, f"{split}/worst_mistakes": shown}


def precision_at_recall(
    probabilities: npt.NDArray[np.float64], target: npt.NDArray[np.int64], classes: Sequence[str]
) -> pd.DataFrame:
    """Return a PR curve a class with support, at 101 recalls, the steps that average precision sums.

    W&B's own takes a wrong column where a class has no rows, and draws the upper envelope.

    Args:
        probabilities: ``(N, C)``.
        target: ``(N,)`` true class numbers.
        classes: C names.

    Returns:
        Columns ``class``, ``recall``, ``precision``.
    """
    curves = []
    for i in np.unique(target):
        recall, precision = precision_recall_steps(target == i, probabilities[:, i])
        steps = precision[np.searchsorted(recall, RECALLS)]
        curves.append(pd.DataFrame({"class": classes[i], "recall": RECALLS, "precision": steps}))
    return pd.concat(curves, ignore_index=True)


def worst_mistakes(table: pd.DataFrame, n: int = N_MISTAKES) -> pd.DataFrame:
    """Return the n images that are predicted wrongly with the highest probability.

    Args:
        table: predictions with labels.
        n: at most so many.

    Returns:
        Columns ``image_id``, ``label``, ``predicted``, their two probabilities, ``group``, ``source`` and ``path``.
    """
    probabilities, target, classes = table_arrays(table)
    predicted, rows = probabilities.argmax(1), np.arange(len(table))
    mistakes = pd.DataFrame(
        {
            "image_id": table["image_id"],
            "label": table["label"],
            "predicted": np.array(classes)[predicted],
            "prob_predicted": probabilities[rows, predicted],
            "prob_label": probabilities[rows, target],
            "group": table["group"],
            "source": table["source"],
            "path": table["path"],
        }
    )
    order = np.argsort(-mistakes["prob_predicted"].to_numpy(), kind="stable")
    wrong = order[predicted[order] != target[order]]
    return mistakes.take(wrong[:n].tolist()).reset_index(drop=True)
