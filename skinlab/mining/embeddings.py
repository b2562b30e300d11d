"""Probabilities and features of a pool and of the labelled images, and how far the pool is from the training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from skinlab.errors import UserError
from skinlab.evaluation.distances import neighbour_distance
from skinlab.evaluation.metrics.reliability import wilson_interval
from skinlab.evaluation.statistics.folds import group_folds, out_of_fold
from skinlab.inference.bundle import Bundle
from skinlab.inference.predict_images import predict_images
from skinlab.mining.pool import AnnotationPool
from skinlab.models.features import Penultimate
from skinlab.processes.progress import Progress
from skinlab.settings.commands.mine import MineSettings

BLOCK = 1024  # images whose distances are taken at once
NEIGHBOUR = 5  # novelty is the distance to the fifth nearest training image


@dataclass(frozen=True)
class PoolEmbeddings:
    """Probabilities and features of the pool's images and of the labelled ones, each in the order of its rows.

    Attributes:
        pool: rows that could be read.
        labelled: training and validation rows.
        probabilities: ``(N, C)`` of the pool's rows.
        features: ``(N, F)`` of the pool's rows.
        labelled_probabilities: ``(M, C)`` of the labelled rows.
        labelled_features: ``(M, F)`` of the labelled rows.
        distance_ratio: ``(N,)`` at the bundle's input gate, None without one.
    """

    pool: pd.DataFrame
    labelled: pd.DataFrame
    probabilities: np.ndarray
    features: np.ndarray
    labelled_probabilities: np.ndarray
    labelled_features: np.ndarray
    distance_ratio: np.ndarray | None

    @property
    def is_training(self) -> np.ndarray:
        """Return which of the labelled rows are training rows, ``(M,)``."""
        return (self.labelled["split"] == "train").to_numpy()

    @property
    def groups(self) -> np.ndarray:
        """Return the group of each of the pool's rows, ``(N,)``."""
        return self.pool["group"].to_numpy(dtype=object)


def embed_pool(bundle: Bundle, pool: AnnotationPool, settings: MineSettings, device: torch.device) -> PoolEmbeddings:
    """Predict the pool, the validation images and some training images, each once, and keep their features.

    Args:
        bundle: the model.
        pool: with the labelled images.
        settings: how images are loaded, and how many training images (``n_train``) at most.
        device: to predict on.

    Raises:
        UserError: images can't be read, and that is an error.
    """
    train = pool.labelled[pool.labelled["split"] == "train"]
    train = train.sample(min(len(train), settings.n_train), random_state=settings.seed).sort_index()
    labelled = pd.concat([train, pool.labelled[pool.labelled["split"] == "val"]])
    rows = pd.concat([pool.rows, labelled], ignore_index=True)
    gate = "warn" if bundle.gate is not None and not len(labelled) else "off"
    with Penultimate([member.classifier for member in bundle.members]) as kept:
        found = predict_images(bundle, rows["path"].tolist(), settings, device, gate=gate)
    features = kept.features(len(found.probabilities))
    rows, own = rows[found.read].reset_index(drop=True), (rows.index < len(pool.rows))[found.read]
    if not own.any():
        raise UserError("no image of the pool can be read; give others: input=FOLDER")
    return PoolEmbeddings(
        rows[own].reset_index(drop=True),
        rows[~own].reset_index(drop=True),
        found.probabilities[own],
        features[own],
        found.probabilities[~own],
        features[~own],
        found.distance_ratio,
    )


def find_novelty(embeddings: PoolEmbeddings, alarms: float, seed: int) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Return how far each pool image is from the training images, 1 at the threshold, and how that was measured.

    The threshold is the distance that a share ``alarms`` of the training images exceed, each measured against those of
    other groups. The network was fitted on these, so its false alarms are counted on validation images. Without
    training images it is the distance at the bundle's input gate; without a gate it is unknown.
    """
    train, ratio = embeddings.is_training, embeddings.distance_ratio
    rows = embeddings.labelled[train]
    if len(rows) < 2 * NEIGHBOUR or rows["group"].nunique() < 2:
        if ratio is None:
            return np.full(len(embeddings.pool), np.nan), None
        return ratio, {"by": "gate", "flagged": int((ratio > 1).sum())}
    known = embeddings.labelled_features[train]
    fold = group_folds(rows["group"].to_numpy(), rows["label"].to_numpy(), seed=seed)
    n_images = len(embeddings.features) + len(embeddings.labelled_features)
    with Progress("measuring distances to training images", n_images) as step:
        own = out_of_fold(fold, lambda held: _distance(known[held], known[~held], step))
        distance = _distance(embeddings.features, known, step)
        val_distance = _distance(embeddings.labelled_features[~train], known, step)
    threshold = max(float(np.quantile(own, 1 - alarms)), 1e-12)
    novelty = distance / threshold
    measured = {"by": "features", "neighbour": NEIGHBOUR, "threshold": threshold, "training_images": int(train.sum())}
    measured |= {"alarms": alarms, "flagged": int((novelty > 1).sum())}
    if not train.all():
        false = val_distance > threshold
        low, high = wilson_interval(float(false.mean()), len(false))
        measured["false_alarms"] = {"value": float(false.mean()), "low": float(low), "high": float(high)}
    return novelty, measured


def _distance(features: np.ndarray, known: np.ndarray, step: Progress) -> np.ndarray:
    # Block by block: the distances are computed in float64, and a pool may be large.
    blocks = np.array_split(features, max(len(features) // BLOCK, 1))
    found = []
    for block in blocks:
        found.append(neighbour_distance(block, known, k=min(NEIGHBOUR, len(known))))
        step.advance(len(block))
    return np.concatenate(found)
