"""What an expert's tables say about single images: labels for some of the pool, and images to leave out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from skinlab.data.manifest import some
from skinlab.errors import UserError, nearest
from skinlab.tables import read_csv

log = logging.getLogger(__name__)


def add_labels(
    manifest: pd.DataFrame, path: str | Path, classes: Sequence[str], label_map: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Let the pool rows that an expert has labelled join `train`.

    It comes last, after the split: were the new labels dealt with the others, the locked test part and the folds would
    move with every answer, and no two rounds of labelling could be compared. For the same reason answers about a lesion
    that is in the validation or test part are left out.

    Args:
        manifest: with the fold and the label budget chosen. A hidden label gives way to the answer.
        path: CSV with `image_id` and `label`; rows whose label is empty are not answered yet.
        classes: all that a label may be.
        label_map: old class → new one, as for the data's own labels.

    Returns:
        the manifest with the answered rows in `train`, and a column `answered` that is True for these.

    Raises:
        UserError: a class is unknown, an image is named twice, or has another label in the data.
    """
    answers, place = _read_answers(path, classes, label_map), f"data.labels={path}"
    gone = ~answers.index.isin(manifest["image_id"])
    if gone.any():
        log.warning("%s: %d images can't be read and are left out: %s", place, gone.sum(), some(answers.index[gone]))
        answers = answers[~gone]
    known = manifest.set_index("image_id").loc[answers.index]
    _check_labels(known["label"], answers, place)
    free = known["label"] == ""
    held = free & known["group"].isin(manifest["group"][manifest["split"].isin(["val", "test"])])
    for told, why in (
        # No error: with another fold or a larger label budget the same image need not be in the pool.
        (~free, "not in the pool but labelled already"),
        (held, "of a group in val or test and left out"),
        (free & ~held & (known["split"] == ""), "excluded from the pool and left out"),
    ):
        if told.any():
            log.warning("%s: %d images are %s: %s", place, told.sum(), why, some(answers.index[told]))
    joins = answers[free & ~held & (known["split"] == "pool")]
    chosen = manifest["image_id"].isin(joins.index)
    labelled = manifest.assign(
        split=manifest["split"].mask(chosen, "train"),
        label=manifest["label"].mask(chosen, manifest["image_id"].map(joins)),
        answered=chosen,
    )
    if "hidden_label" in labelled:
        labelled["hidden_label"] = labelled["hidden_label"].mask(chosen, "")
    return labelled


def check_answers(
    manifest: pd.DataFrame,
    path: str | Path,
    classes: Sequence[str],
    label_map: Mapping[str, str] | None = None,
    *,
    hides: bool = False,
) -> None:
    """Refuse what :func:`add_labels` would refuse, before the images are read.

    Args:
        manifest: from a reader, relabelled.
        path: see :func:`add_labels`, as are the next two.
        classes: all that a label may be.
        label_map: old class → new one.
        hides: whether a label budget hides labels, which answers may then contradict.

    Raises:
        UserError: an image or a class is unknown, an image is named twice, or has another label in the data.
    """
    answers, place = _read_answers(path, classes, label_map), f"data.labels={path}"
    known = manifest.set_index("image_id")["label"].reindex(answers.index)
    if (unknown := answers.index[known.isna()]).size:
        raise UserError(f"{place}: {len(unknown)} rows name no image of the data: {some(unknown)}; mend their image_id")
    if not hides:
        _check_labels(known, answers, place)


def _read_answers(path: str | Path, classes: Sequence[str], label_map: Mapping[str, str] | None) -> pd.Series[str]:
    """Return the answers by image id; refuse doubled images and unknown classes."""
    table, place = read_csv(Path(path).expanduser(), ("image_id", "label")), f"data.labels={path}"
    table = table[table["label"] != ""]
    renames = {str(old): str(new) for old, new in (label_map or {}).items()}
    labels = [renames.get(label, label) for label in table["label"].tolist()]
    answers = pd.Series(labels, index=pd.Index(table["image_id"], dtype=str), dtype=str)
    if answers.empty:
        raise UserError(f"{place} has no label filled in: give a class for one image at least")
    if answers.index.has_duplicates:
        doubled = some(answers.index[answers.index.duplicated()].unique())
        raise UserError(f"{place} names an image twice: {doubled}; keep one row an image")
    if strange := sorted(set(answers.unique()) - set(classes)):
        raise UserError(
            f"{place}: unknown class {strange[0]}{nearest(strange[0], classes)}: the data has {some(classes, 20)}"
        )
    return answers


def _check_labels(known: pd.Series[str], answers: pd.Series[str], place: str) -> None:
    """Refuse answers against a known label, both by image id."""
    if (other := answers.index[(known != "") & (known != answers)]).size:
        first = f"{other[0]} is {known[other[0]]} there and {answers[other[0]]} here"
        raise UserError(
            f"{place}: {len(other)} labels contradict those of the data: {first}; mend the one or the other"
        )


def exclude_images(manifest: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Empty the split of the images that a table names, so that no part of the run uses them.

    It comes after the split, so that all others stay where they were.

    Args:
        manifest: with the fold chosen.
        path: CSV with `image_id`.
    """
    named = read_csv(Path(path).expanduser(), ("image_id",))["image_id"]
    return manifest.assign(split=manifest["split"].mask(manifest["image_id"].isin(named), ""))


def check_excluded(manifest: pd.DataFrame, path: str | Path) -> None:
    """Look at the table of :func:`exclude_images` before the images are read.

    Args:
        manifest: from a reader.
        path: CSV with `image_id`; what else it names is told, for it may be of more images than these.

    Raises:
        UserError: the table names none of the images.
    """
    named = read_csv(Path(path).expanduser(), ("image_id",))["image_id"]
    unknown = named[~named.isin(manifest["image_id"])]
    if len(unknown) == len(named):
        raise UserError(f"data.exclude={path} names no image of the data: its image_id is, say, {named.iloc[0]}")
    if len(unknown):
        log.warning("data.exclude=%s: %d rows name no image of the data: %s", path, len(unknown), some(unknown))
