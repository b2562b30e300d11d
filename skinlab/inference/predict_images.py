"""Predict image files with all members of a bundle."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import track

from skinlab.data.dataset import batch_loader
from skinlab.data.images import MISSING, printable
from skinlab.data.samplers import EvalSampler
from skinlab.data.training_images import TrainingImages
from skinlab.errors import UserError, some
from skinlab.inference.bundle import Bundle
from skinlab.inference.gating import Door
from skinlab.inference.readable_images import Readable
from skinlab.models.prediction import predict_members

log = logging.getLogger(__name__)

NAMED = 20  # bad images that an error names; the rest are counted


def look(
    bundle: Bundle,
    rows: pd.DataFrame,
    config: dict[str, Any],
    device: torch.device,
    known: TrainingImages | None = None,
    hashes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None, dict[int, str]]:
    """Show the images to every member; members that want the same images see them in one pass.

    Args:
        bundle: the members.
        rows: with ``path``.
        config: of the prediction.
        device: to predict on.
        known: the model's training images, among which the rows' are looked up; None to leave that out.
        hashes: takes the content hash of each row's image that may be one of them, 0 for the others, ``(N,)``.

    Returns:
        The members' probabilities ``(M, N, C)``, each image's excess at the gate ``(N,)`` (None without one), and the
        rows that could not be read with the reasons.

    Raises:
        UserError: images can't be read, or are foreign, and that is an error.
    """
    kinds = list(dict.fromkeys((member.image_size, member.fit) for member in bundle.members))
    door = Door(bundle.gate, rows["path"].tolist(), config["gate"]) if bundle.gate and config["gate"] != "off" else None
    found: dict[int, np.ndarray] = {}
    bad: dict[int, str] = {}
    for turn, kind in enumerate(kinds):
        chosen = [i for i, member in enumerate(bundle.members) if (member.image_size, member.fit) == kind]
        # What could be read once is there: failing later it is no image to be left out.
        left = rows.drop(index=list(bad)).reset_index(drop=True) if turn else rows
        guard = None if turn else door
        loader = batch_loader(
            Readable(
                left["path"].tolist(),
                *kind,
                gate=guard.gate if guard else None,
                known=None if turn else known,
                refuse_masks=not turn,
            ),
            EvalSampler(len(left)),
            batch_size=config["batch_size"],
            num_workers=min(config["num_workers"], -(-len(left) // config["batch_size"])),
        )
        screen = Console(stderr=True)
        title = f"predicting {len(left)} images" + (f" ({turn + 1}/{len(kinds)})" if len(kinds) > 1 else "")
        batches = track(loader, title, console=screen, transient=True, disable=not screen.is_terminal)
        on_bad_image = "error" if turn else config["on_bad_image"]
        probabilities = predict_members(
            [bundle.members[i].classifier.to(device) for i in chosen],
            usable(batches, left, {} if turn else bad, on_bad_image=on_bad_image, door=guard, hashes=hashes),
            device=device,
            tta=config["tta"],
        )
        found |= dict(zip(chosen, probabilities, strict=True))
    return np.stack([found[i] for i in range(len(bundle.members))]), door.figures() if door else None, bad


def usable(
    batches: Any,
    rows: pd.DataFrame,
    bad: dict[int, str],
    *,
    on_bad_image: str,
    door: Door | None = None,
    hashes: np.ndarray | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield batches less their bad images; from the first one that is an error on, only look for more of them.

    Args:
        batches: of :class:`Readable`.
        rows: with ``path``.
        bad: filled with row → reason.
        on_bad_image: ``error`` or ``drop``.
        door: of the gate, if there is one; then batches have ``statistics``.
        hashes: filled with each row's content hash, where batches have them.

    Raises:
        UserError: at the end, if there were bad or foreign images and they are an error, or all images were bad; or if
            images have vanished meanwhile, which are none to be left out.
    """
    there = [Path(path).exists() for path in rows["path"]]
    for batch in batches:
        bad |= batch["bad"]
        rows_seen = batch["row"].numpy()
        if hashes is not None and "hash" in batch:
            hashes[rows_seen] = batch["hash"]
        good = ~np.isin(rows_seen, list(batch["bad"]))
        admitted = door is None or door.admits(rows_seen[good], batch["statistics"][good])
        if good.any() and admitted and (not bad or on_bad_image == "drop"):
            yield {"image": batch["image"][good]}
    if gone := [row for row, reason in sorted(bad.items()) if reason == MISSING and there[row]]:
        raise UserError(
            f"{len(gone)} of {len(rows)} images were removed while they were read (first: "
            f"{printable(rows['path'][gone[0]])}); put them back (is their drive connected?) and start again"
        )
    if bad:
        _tell_bad(rows, bad, on_bad_image)
    if door is not None:
        door.tell()


def _tell_bad(rows: pd.DataFrame, bad: dict[int, str], on_bad_image: str) -> None:
    told = some((f"{printable(rows['path'][row])} {reason}" for row, reason in sorted(bad.items())), NAMED)
    message = f"{len(bad)} of {len(rows)} images can't be read: {told}"
    if on_bad_image == "error":
        raise UserError(f"{message}; fix or remove them, or leave them out: on_bad_image=drop")
    if len(bad) == len(rows):
        raise UserError(f"{message}; no image is left")
    log.warning("%s; left out", message)
