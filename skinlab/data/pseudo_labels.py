"""Pseudo-labels: a model's predictions as labels of pool images, with a record of the images that it was trained on.

A model that was trained on images of a run's validation or test part has learned their labels, and hands them on by its
pseudo-labels: metrics of these images are then too high. So a fold takes pseudo-labels of its own models only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skinlab.data.training_images import TrainingImages, contents
from skinlab.errors import UserError, some
from skinlab.json_files import read_json
from skinlab.tables.csv_files import read_csv
from skinlab.text import quantity

log = logging.getLogger(__name__)

COLUMN = "labelled_by"  # of the table: the model, so that its labels are never taken for an expert's
HASHES = ("images", "groups", "val_images", "val_groups")
MAX_RATIO = 2.0  # of a class's share in the training batches to that among the labelled images
KEY = "pseudo_labels"  # of the meta file


def pseudo_label_facts(known: TrainingImages, confidence: float | Mapping[str, float], n_labels: int) -> dict[str, Any]:
    """Return what the meta file of pseudo-labels records.

    Args:
        known: images that the model was trained on or chosen by.
        confidence: from which a label is taken, of all classes or class → its own.
        n_labels: number of labels.
    """
    hashes = {name: [int(each) for each in getattr(known, name)] for name in HASHES}
    return {KEY: {"confidence": confidence, "labels": n_labels, "unknown": list(known.unknown), **hashes}}


def log_pseudo_labels(labels: pd.Series, classes: Sequence[str], n_known: int, remedy: str) -> None:
    """Report how many images of each class are labelled, and warn of a class without any.

    Args:
        labels: a class for each labelled image.
        classes: all that the model knows.
        n_known: images that are left out, since the model knows them from its training.
        remedy: how images of a class without any are labelled.
    """
    counts = {name: int((labels == name).sum()) for name in classes}
    left_out = f"; {n_known} that the model knows from its training are left out" if n_known else ""
    log.info(
        "%s: %s%s", quantity(len(labels), "pseudo-label"), ", ".join(f"{k} {n}" for k, n in counts.items()), left_out
    )
    if missing := [name for name, n in counts.items() if n == 0]:
        log.warning(
            "no image is labelled %s: training with these labels makes the classes more unequal; %s",
            *(" or ".join(missing), remedy),
        )


def balance_caution(
    labels: pd.Series, classes: Sequence[str], training_prior: Sequence[float], shares: Sequence[float]
) -> str:
    """Return a sentence where a model was trained on batches with other shares of the classes; "" where it was not.

    Args:
        labels: a class for each labelled image.
        classes: all that the model knows, in order.
        training_prior: ``(C,)`` shares in its batches.
        shares: ``(C,)`` among its labelled images.

    >>> balance_caution(pd.Series(["b", "b", "a"]), ["a", "b"], [0.5, 0.5], [0.94, 0.06]).partition(":")[0]
    '66.7 % of the labels are b, 6.0 % of the labelled images are'
    """
    ratios = [prior / share if share else 0.0 for prior, share in zip(training_prior, shares, strict=True)]
    most = int(np.argmax(ratios))
    if ratios[most] < MAX_RATIO:
        return ""
    return (
        f"{100 * (labels == classes[most]).mean():.1f} % of the labels are {classes[most]}, {100 * shares[most]:.1f} % "
        f"of the labelled images are: in the model's training batches {100 * training_prior[most]:.1f} % were, so that "
        "its probabilities are too high for the pool; label by a model that was trained without sampler=weighted, or "
        "by a bundle that is calibrated on the validation images: "
        "python -m skinlab.bundle ckpt=RUN output=FILE.bundle calibrator=vector"
    )


def read_pseudo_labels(path: str | Path) -> TrainingImages | None:
    """Return the training images of the model that a table of labels is from; None for an expert's table.

    Args:
        path: the table; its ``.meta.json`` lies beside it.

    Raises:
        UserError: the labels are a model's, and its training images are not known.
    """
    table = Path(str(path)).expanduser()
    if COLUMN not in read_csv(table):
        return None
    place = f"data.labels={path}"
    meta = table.with_suffix(".meta.json")
    if not meta.is_file():
        raise UserError(
            f"{place} are labels by a model, but {meta.name}, which says on what images it was trained, is not beside "
            "it: keep both together, or make them again: skinlab predict format=labels"
        )
    facts: Mapping[str, Any] = read_json(meta, "record of pseudo-labels", {KEY: dict})[KEY]
    try:
        images, groups, val_images, val_groups = (np.array(facts[name], np.uint64) for name in HASHES)
        unknown = tuple(map(str, facts["unknown"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(f"{meta} is damaged; make the labels again: skinlab predict format=labels") from None
    if unknown:
        raise UserError(
            f"{place} are labels by a model whose training images are not all known ({some(unknown)}): label by a run "
            "of this fold that starts from known weights"
        )
    return TrainingImages(images, groups, val_images, val_groups, files=None)


def check_pseudo_labels(path: str | Path | None, manifest: pd.DataFrame, image_hashes: Mapping[str, str]) -> None:
    """Refuse pseudo-labels of a model that was trained on images of the validation or test part, or of their groups.

    Images that chose its best epoch may validate the run, but not test it.

    Args:
        path: the table of labels; None where there is none.
        manifest: with the fold chosen.
        image_hashes: image id → content hash.

    Raises:
        UserError: it was, or its training images are not known.
    """
    known = None if path is None else read_pseudo_labels(path)
    if known is None:
        return
    nothing = np.empty(0, np.uint64)
    fitted = replace(known, val_images=nothing, val_groups=nothing)
    hashes, leaks = contents(image_hashes[each] for each in manifest["image_id"]), []
    for split, images in (("val", fitted), ("test", known)):
        used = images.usage(hashes, manifest["group"]) != ""
        if len(found := manifest["image_id"][used & (manifest["split"] == split)]):
            leaks.append(f"{quantity(len(found), f'{split} image')} ({some(found, 2)})")
    if leaks:
        raise UserError(
            f"data.labels={path}: the model of these pseudo-labels was trained on {' and '.join(leaks)} of this run, "
            "or others of their groups; label the pool by a run of the same data.fold and data.split_seed"
        )
