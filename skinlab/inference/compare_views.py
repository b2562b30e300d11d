"""Predict images by several test-time augmentations and measure the time of each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from skinlab.errors import UserError
from skinlab.inference.bundle import Bundle
from skinlab.inference.dataset import InferenceDataset, load_batches
from skinlab.models.prediction import Network, predict_probabilities
from skinlab.text import printable, quantity

BATCH_SIZE = 64  # a whole number of the steps that the network takes
WARM_UP = 8  # images shown before the clock runs


def predict_views(
    bundle: Bundle, paths: Sequence[str], names: Sequence[str], device: torch.device, num_workers: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Predict images by every augmentation, each image read once.

    The seconds are the network's, transfers to the device included; reading the images comes on top, and is the same
    for all. They are kept batch by batch, since other processes hardly change their median; and the augmentations take
    turns in being first, so that loading processes disturb all alike.

    Args:
        bundle: of one network.
        paths: of the images.
        names: of the augmentations.
        device: to predict on.
        num_workers: loading processes.

    Returns:
        Name → probabilities ``(N, C)``, and name → seconds an image in each batch.

    Raises:
        UserError: an image can't be read.
    """
    images = InferenceDataset(paths, bundle.image_size, bundle.fit)
    title = f"predicting {quantity(len(paths), 'image')} {len(names)} times"
    batches = load_batches(images, title, batch_size=BATCH_SIZE, num_workers=num_workers)
    return timed(bundle.classifier.to(device), _refuse_bad(batches, paths), names, device)


def timed(
    network: Network, batches: Iterable[Mapping[str, Any]], names: Sequence[str], device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Predict batches by every augmentation; return name → probabilities, and name → seconds an image in each batch."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn, batch in enumerate(batches):
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            if turn == 0:
                predict_probabilities(network, [{"image": batch["image"][:WARM_UP]}], device=device, tta=name)
            started = time.perf_counter()
            found = predict_probabilities(network, [{"image": batch["image"]}], device=device, tta=name)
            seconds[name].append((time.perf_counter() - started) / len(found))
            parts[name].append(found)
    return {name: np.concatenate(each) for name, each in parts.items()}, {
        name: np.array(each) for name, each in seconds.items()
    }


def _refuse_bad(batches: Iterable[dict[str, Any]], paths: Sequence[str]) -> Iterable[dict[str, Any]]:
    for batch in batches:
        for row, reason in batch["bad"].items():
            raise UserError(f"{printable(paths[row])} {reason}; fix it: every image of the split is predicted")
        yield batch
