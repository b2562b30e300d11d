"""Fit the input gate of a run on its training images and measure its error rates on held-out images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skinlab.data.image_files import exists
from skinlab.data.images import read_image
from skinlab.errors import UserError, some, user_errors
from skinlab.evaluation.metrics.reliability import wilson_interval
from skinlab.evaluation.overlap import FittedOn, RowIds, refuse_overlap, row_keys
from skinlab.inference.gate import (
    FIT,
    SIZE,
    STATISTICS,
    Gate,
    check_enough,
    fit_gate,
    foreign_images,
    gate_statistics,
    varied,
)
from skinlab.inference.gate_network import WIDTH, GateNetwork
from skinlab.models.weights import WeightsUnavailable
from skinlab.processes.progress import Progress, counted
from skinlab.tables.csv_files import read_csv
from skinlab.text import quantity

log = logging.getLogger(__name__)

HELD_BACK = 0.3  # of the training groups: these set the threshold
SPLITS = (("train",), ("val", "test"))  # that a gate is fitted on, and measured on
FOREIGN, KINDS = 100, 7  # genuine images that foreign ones of each kind are made of, and the number of kinds
# Fewer images than this can't tell how a network's features vary together: the gate then knows the statistics alone.
MIN_IMAGES_FOR_NETWORK = 3 * (len(STATISTICS) + WIDTH)


class GateSplit(NamedTuple):
    """The table of images that a gate is fitted on: ``path``, ``split`` and, if there is one, ``group``."""

    place: Path
    rows: pd.DataFrame


def read_gate_split(place: str | None, runs: Sequence[str]) -> GateSplit:
    """Read the table to fit on: the one at a place, else the ``split.csv`` of the first run.

    Raises:
        UserError: there is none, it lacks a column, or images of val or test are of groups in train.
    """
    path = None if place is None else Path(place).expanduser()
    if path is None:
        run = Path(runs[0]).expanduser()
        path = (run if run.is_dir() else run.parent.parent) / "split.csv"
        if not path.is_file():
            raise UserError(f"{runs[0]} is no run with a split.csv that names its training images; set gate_split=CSV")
    rows = read_csv(path, ["path", "split"])
    fitted, measured = (RowIds.of(rows[rows["split"].isin(names)]) for names in SPLITS)
    with user_errors():
        remedy = "its rate of false alarms would be too low; split the images by group"
        refuse_overlap(measured, row_keys(fitted), f"the input gate of {path}", remedy)
    return GateSplit(path, rows)


def fit_run_gate(split: GateSplit, *, alarms: float, limit: int, num_workers: int, seed: int) -> tuple[Gate, FittedOn]:
    """Fit a gate on a split's training images and measure it on its validation and test images.

    A part of the training groups sets the threshold; its share of false alarms is measured on other images, the
    detection on foreign ones that are drawn or made of these. The features of an ImageNet network are used, too,
    if there are ``MIN_IMAGES_FOR_NETWORK`` images to fit them on and the network's weights are at hand.

    Args:
        split: its images.
        alarms: share of genuine images that may be warned of.
        limit: images of each split at most.
        num_workers: threads that read.
        seed: of the draws.

    Returns:
        The gate, and the images that it and its threshold are fitted on.

    Raises:
        UserError: images are missing, or too few.
    """
    rng = np.random.default_rng(seed)
    train, held_out = _rows(split, limit, rng)
    n_looks = 2 * (len(train) + len(held_out)) + KINDS * min(FOREIGN, len(held_out))  # each image is read and measured
    with Progress("fitting the input gate", n_looks):
        gate, measured = _fit(
            split.place, train, held_out["path"], rng, alarms=alarms, num_workers=num_workers, seed=seed
        )
    _report(measured)
    return replace(gate, measured=measured), FittedOn.of("the input gate", "train", RowIds.of(train))


def _fit(
    place: Path,
    train: pd.DataFrame,
    held_out: pd.Series[str],
    rng: np.random.Generator,
    *,
    alarms: float,
    num_workers: int,
    seed: int,
) -> tuple[Gate, dict[str, Any]]:
    """Return the gate, and how it was fitted and measured."""
    groups = rng.permutation(train["group"].unique())
    held = train["group"].isin(set(groups[: max(round(HELD_BACK * len(groups)), 1)])).to_numpy()
    try:
        check_enough(int((~held).sum()), int(held.sum()))  # before images are read
    except ValueError as error:
        raise UserError(f"{place}: {error}; set gate=none") from None
    fitting, waiting = read_small(train["path"][~held], num_workers), read_small(train["path"][held], num_workers)
    network = gate_network(len(fitting))
    statistics = _statistics_of([varied(image, rng) for image in fitting], network, num_workers)
    own = _statistics_of(waiting, network, num_workers)
    try:
        gate = fit_gate(statistics, own, alarms=alarms, network=network)
    except ValueError as error:
        raise UserError(f"{place}: {error}; set gate=none") from None
    genuine = read_small(held_out, num_workers)
    measured: dict[str, Any] = {"fitted_on": len(fitting), "threshold_on": len(waiting), "network": bool(network)}
    if len(genuine):
        measured["false_alarms"] = rate(gate.distance_ratio(_statistics_of(genuine, network, num_workers)) > 1)
        strangers = foreign_images(genuine[rng.permutation(len(genuine))[:FOREIGN]], seed)
        measured["detected"] = {
            kind: rate(gate.distance_ratio(_statistics_of(images, network, num_workers)) > 1)
            for kind, images in strangers.items()
        }
    return gate, measured


def gate_network(n_images: int) -> GateNetwork | None:
    """Return the network whose features a gate fitted on ``n_images`` looks at; None, and why in the log, for none."""
    if n_images < MIN_IMAGES_FOR_NETWORK:
        log.info(
            "gate: of simple statistics alone, for %s; %d are needed",
            quantity(n_images, "image"),
            MIN_IMAGES_FOR_NETWORK,
        )
        return None
    try:
        return GateNetwork.pretrained()
    except WeightsUnavailable as reason:
        log.warning("gate: of simple statistics alone, which miss most faces and clinical photographs: %s", reason)
        return None


def rate(flagged: np.ndarray) -> dict[str, Any]:
    """Return how many are flagged, of how many, and the share with its 95 % interval."""
    share = float(np.mean(flagged))
    low, high = (round(float(end), 4) for end in wilson_interval(share, len(flagged)))
    return {"flagged": int(np.sum(flagged)), "images": len(flagged), "share": round(share, 4), "low": low, "high": high}


def read_small(paths: Sequence[str] | pd.Series[str], num_workers: int) -> np.ndarray:
    """Read images for a gate, uint8 ``(N, SIZE, SIZE, 3)``; Pillow leaves other threads their turn."""
    with ThreadPoolExecutor(max(num_workers, 1)) as pool:
        images = list(counted(pool.map(lambda path: read_image(path, SIZE, FIT), paths)))
    return np.stack(images) if images else np.empty((0, SIZE, SIZE, 3), np.uint8)


def _statistics_of(
    images: Sequence[np.ndarray] | np.ndarray, network: GateNetwork | None, num_workers: int
) -> np.ndarray:
    with ThreadPoolExecutor(max(num_workers, 1)) as pool:
        return np.array(list(counted(pool.map(lambda image: gate_statistics(image, network), images))))


def _rows(split: GateSplit, limit: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return training and held-out rows whose images are there."""
    table = split.rows
    table = table.assign(group=table["group"] if "group" in table else table["path"])
    parts = []
    for names in SPLITS:
        rows = table[table["split"].isin(names)]
        parts.append(rows.iloc[np.sort(rng.permutation(len(rows))[:limit])])
    gone = [path for part in parts for path in part["path"] if not exists(path)]
    if gone:
        raise UserError(
            f"{quantity(len(gone), 'image')} of {split.place} missing: {some(gone)}; put them there or set gate=none"
        )
    return parts[0], parts[1]


def _report(measured: dict[str, Any]) -> None:
    log.info("gate: fitted on %(fitted_on)d images, its threshold set on %(threshold_on)d others", measured)
    if alarms := measured.get("false_alarms"):
        log.info(
            "gate: false alarms %.2f %% of %d genuine images (95 %% interval %.2f to %.2f %%)",
            *(100 * alarms["share"], alarms["images"], 100 * alarms["low"], 100 * alarms["high"]),
        )
        seen = ", ".join(f"{kind} {each['share']:.0%}" for kind, each in measured["detected"].items())
        log.info("gate: of foreign images it detects %s", seen)
