"""Predict image files with all members of a bundle, and the splits of a run with its network."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from skinlab.data.datamodule import SkinDataModule, loading_processes
from skinlab.data.images import MISSING
from skinlab.data.training_images import TrainingImages
from skinlab.errors import UserError, some
from skinlab.evaluation.predictions import as_written, predictions_table
from skinlab.inference.bundle import Bundle, best_device
from skinlab.inference.dataset import InferenceDataset, load_batches
from skinlab.inference.ensembling import combine_members
from skinlab.inference.gate_monitor import InputGateMonitor
from skinlab.models.prediction import predict_members, predict_probabilities
from skinlab.settings.command import LoadingSettings
from skinlab.text import portion, printable, quantity

log = logging.getLogger(__name__)

NAMED = 20  # bad images that an error names; the rest are counted


@dataclass(frozen=True)
class ImagePredictions:
    """Predictions of the images that could be read.

    Attributes:
        read: ``(P,)`` whether each of the given images could be read; N could.
        probabilities: ``(N, C)``, combined and calibrated as the bundle says.
        distance_ratio: ``(N,)`` at the input gate, above 1 for a foreign image; None without a gate.
        hashes: ``(N,)`` content hash of each image that may be a training image, 0 for the others.
    """

    read: np.ndarray
    probabilities: np.ndarray
    distance_ratio: np.ndarray | None
    hashes: np.ndarray


def predict_images(
    bundle: Bundle,
    paths: Sequence[str],
    settings: LoadingSettings,
    device: torch.device,
    *,
    tta: str = "none",
    gate: str = "off",
    known: TrainingImages | None = None,
) -> ImagePredictions:
    """Predict images with every member; members that take images of one size share one reading of the files.

    Args:
        bundle: the members.
        paths: of the images.
        settings: how images are loaded.
        device: to predict on.
        tta: test-time augmentation.
        gate: what the bundle's input gate does on foreign images: ``warn``, ``error`` or ``off``.
        known: the model's training images; their hashes are looked for among the images'. None to leave that out.

    Raises:
        UserError: images can't be read, or are foreign, and that is an error.
    """
    workers, drop_bad = loading_processes(settings.num_workers), settings.on_bad_image == "drop"
    monitor = InputGateMonitor(bundle.gate, paths, gate) if bundle.gate and gate != "off" else None
    hashes, bad = np.zeros(len(paths), np.uint64), dict[int, str]()
    members: dict[int, np.ndarray] = {}
    kinds = list(dict.fromkeys((member.image_size, member.fit) for member in bundle.members))
    for turn, (size, fit) in enumerate(kinds):
        left = [path for row, path in enumerate(paths) if row not in bad]
        title = f"predicting {quantity(len(left), 'image')}" + (f" ({turn + 1}/{len(kinds)})" if len(kinds) > 1 else "")
        if turn == 0:
            gated = monitor.gate if monitor else None
            images = InferenceDataset(left, size, fit, gate=gated, known=known, refuse_masks=True)
        else:  # what could be read once is there: failing now it is no image to be left out
            images = InferenceDataset(left, size, fit)
        batches = load_batches(images, title, batch_size=settings.batch_size, num_workers=workers)
        if turn == 0:
            batches = readable_batches(batches, left, bad, drop_bad=drop_bad, monitor=monitor, hashes=hashes)
        else:
            batches = readable_batches(batches, left, {}, drop_bad=False)
        chosen = [i for i, member in enumerate(bundle.members) if (member.image_size, member.fit) == (size, fit)]
        networks = [bundle.members[i].classifier.to(device) for i in chosen]
        members |= dict(zip(chosen, predict_members(networks, batches, device=device, tta=tta), strict=True))
    probabilities = combine_members(bundle, np.stack([members[i] for i in range(len(bundle.members))]))
    read = ~np.isin(np.arange(len(paths)), list(bad))
    return ImagePredictions(read, probabilities, monitor.distance_ratios() if monitor else None, hashes[read])


def predict_splits(bundle: Bundle, datamodule: SkinDataModule) -> dict[str, pd.DataFrame]:
    """Predict the validation and the test images of a run.

    Args:
        bundle: of one network.
        datamodule: of the run.

    Returns:
        ``val`` and ``test``, as far as they have images → predictions table, probabilities as they are written.
    """
    device = best_device()
    network = bundle.classifier.to(device)
    tables = {}
    for split in ("val", "test"):
        if len(rows := datamodule.rows(split)):
            probabilities = predict_probabilities(network, datamodule.inference_loader(split), device=device)
            tables[split] = predictions_table(rows, as_written(probabilities), bundle.classes)
    return tables


def readable_batches(
    batches: Iterable[dict[str, Any]],
    paths: Sequence[str],
    bad: dict[int, str],
    *,
    drop_bad: bool,
    monitor: InputGateMonitor | None = None,
    hashes: np.ndarray | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield batches without the images that can't be read; after the first image that is an error, none any more.

    The rest of the batches is read all the same, so that the error names all bad images at once.

    Args:
        batches: of :class:`InferenceDataset`.
        paths: of all images.
        bad: filled with row → reason.
        drop_bad: whether images that can't be read are left out, instead of an error at the end.
        monitor: of the input gate, if there is one; then batches have ``statistics``.
        hashes: filled with each row's content hash, where batches have them.

    Raises:
        UserError: at the end, if there were bad or foreign images and they are an error, or all images were bad; or if
            images have vanished meanwhile, which are none to be left out.
    """
    there = [Path(path).exists() for path in paths]
    for batch in batches:
        bad |= batch["bad"]
        rows = batch["row"].numpy()
        if hashes is not None and "hash" in batch:
            hashes[rows] = batch["hash"]
        good = ~np.isin(rows, list(batch["bad"]))
        passed = monitor is None or monitor.add(rows[good], batch["statistics"][good])
        if good.any() and passed and (not bad or drop_bad):
            yield {"image": batch["image"][good]}
    if gone := [row for row, reason in sorted(bad.items()) if reason == MISSING and there[row]]:
        raise UserError(
            f"{portion(len(gone), len(paths), 'image', 'was')} removed while they were read (first: "
            f"{printable(paths[gone[0]])}); put them back (is their drive connected?) and start again"
        )
    if bad:
        _report_bad(paths, bad, drop_bad=drop_bad)
    if monitor is not None:
        monitor.report()


def _report_bad(paths: Sequence[str], bad: dict[int, str], *, drop_bad: bool) -> None:
    """Warn of the images that can't be read, or refuse them."""
    named = some((f"{printable(paths[row])} {reason}" for row, reason in sorted(bad.items())), NAMED)
    message = f"{portion(len(bad), len(paths), 'image')} can't be read: {named}"
    if not drop_bad:
        raise UserError(f"{message}; fix or remove them, or leave them out: on_bad_image=drop")
    if len(bad) == len(paths):
        raise UserError(f"{message}; no image is left")
    log.warning("%s; left out", message)
