"""What a model makes of a pool and of the images that it was trained and validated on, from one look at each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skinlab.errors import UserError
from skinlab.evaluation.distances import neighbour_distance
from skinlab.evaluation.folds import group_folds
from skinlab.evaluation.reliability import wilson_interval
from skinlab.inference.bundle import Bundle
from skinlab.inference.combining import check_calibrator, combine_as
from skinlab.inference.predict_images import look
from skinlab.mining.pool import AnnotationPool
from skinlab.models.features import Penultimate

BLOCK = 4096  # images whose distances are taken at once
NEIGHBOUR = 5  # the distance to which training image counts as novelty


@dataclass(frozen=True)
class Seen:
    """What the model makes of the pool's rows and of the labelled ones, each in the order of its rows.

    Attributes:
        pool: rows that could be read.
        labelled: training and validation rows.
        probabilities: ``(N, C)`` of the pool's rows.
        features: ``(N, F)`` of the pool's rows.
        known: ``(M, C)`` probabilities of the labelled rows.
        known_features: ``(M, F)`` of the labelled rows.
        gate: distance over threshold at the bundle's gate ``(N,)``, None without one.
    """

    pool: pd.DataFrame
    labelled: pd.DataFrame
    probabilities: np.ndarray
    features: np.ndarray
    known: np.ndarray
    known_features: np.ndarray
    gate: np.ndarray | None


def see(bundle: Bundle, pool: AnnotationPool, config: Mapping[str, Any], device: Any) -> Seen:
    """Show pool, validation and at most ``n_train`` training images to the model, each once.

    Raises:
        UserError: images can't be read, and that is an error.
    """
    train = pool.labelled[pool.labelled["split"] == "train"]
    train = train.sample(min(len(train), config["n_train"]), random_state=config["seed"]).sort_index()
    labelled = pd.concat([train, pool.labelled[pool.labelled["split"] == "val"]])
    rows = pd.concat([pool.rows, labelled], ignore_index=True)
    gated = bundle.gate is not None and not len(labelled)
    settings = {"gate": "warn" if gated else "off", "tta": "none"}
    settings |= {name: config[name] for name in ("batch_size", "num_workers", "on_bad_image")}
    with Penultimate([member.classifier for member in bundle.members]) as kept:
        members, gate, bad = look(bundle, rows, settings, device)
    probabilities = combine_as(bundle, members)
    if bundle.calibrator is not None:
        probabilities = check_calibrator(bundle.calibrator, bundle)(probabilities)
    features = kept.features(len(probabilities))
    good = ~rows.index.isin(list(bad))
    rows, own = rows[good].reset_index(drop=True), (rows.index < len(pool.rows))[good]
    if not own.any():
        raise UserError("no image of the pool can be read; give others: input=FOLDER")
    return Seen(
        rows[own].reset_index(drop=True),
        rows[~own].reset_index(drop=True),
        probabilities[own],
        features[own],
        probabilities[~own],
        features[~own],
        gate,
    )


def find_novelty(seen: Seen, alarms: float, seed: int) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Return how far each pool image is from the training images, 1 at the threshold, and how that was measured.

    The threshold is the distance that a share ``alarms`` of the training images exceed, each measured against those of
    other groups. The network was fitted on these, so its false alarms are counted on validation images. Without
    training images a bundle's gate tells the distance; without a gate it is unknown.
    """
    train = (seen.labelled["split"] == "train").to_numpy()
    if train.sum() < 2 * NEIGHBOUR or seen.labelled["group"][train].nunique() < 2:
        if seen.gate is None:
            return np.full(len(seen.pool), np.nan), None
        return seen.gate, {"by": "gate", "flagged": int((seen.gate > 1).sum())}
    known = seen.known_features[train]
    fold = group_folds(seen.labelled["group"][train].to_numpy(), seen.labelled["label"][train].to_numpy(), seed=seed)
    own = np.concatenate([_distance(known[fold == k], known[fold != k]) for k in np.unique(fold)])
    threshold = max(float(np.quantile(own, 1 - alarms)), 1e-12)
    novelty = _distance(seen.features, known) / threshold
    measured = {"by": "features", "neighbour": NEIGHBOUR, "threshold": threshold, "training_images": int(train.sum())}
    measured |= {"alarms": alarms, "flagged": int((novelty > 1).sum())}
    if not train.all():
        false = _distance(seen.known_features[~train], known) > threshold
        low, high = wilson_interval(float(false.mean()), len(false))
        measured["false_alarms"] = {"value": float(false.mean()), "low": float(low), "high": float(high)}
    return novelty, measured


def _distance(features: np.ndarray, known: np.ndarray) -> np.ndarray:
    # Block by block: the distances are computed in float64, and a pool may be large.
    blocks = np.array_split(features, max(len(features) // BLOCK, 1))
    return np.concatenate([neighbour_distance(block, known, k=min(NEIGHBOUR, len(known))) for block in blocks])
