"""Tables of an expert: labels for images of the pool, and images to leave out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from skinlab.data.audit.text_changes import ATTRIBUTE, clean_text, replace_columns
from skinlab.data.manifest import clean_label_map
from skinlab.data.pseudo_labels import COLUMN
from skinlab.errors import UserError, nearest, some
from skinlab.tables.labels import join_ids, read_image_table
from skinlab.tables.text_columns import map_distinct
from skinlab.text import match_names, quantity

log = logging.getLogger(__name__)

PSEUDO = "pseudo"  # in the attrs of labels


def add_labels(
    manifest: pd.DataFrame, path: str | Path, classes: Sequence[str], label_map: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Move the pool images that an expert has labelled into `train`.

    This is done after the split: otherwise the test part and the folds would change with every label, and two rounds of
    labelling could not be compared. For the same reason labels of groups in the validation or test part are left out.

    Args:
        manifest: with the fold and the label budget chosen. The expert's label replaces a hidden one.
        path: CSV with an id (see :func:`skinlab.tables.labels.join_ids`) and `label`, or one column a class; rows
            without a label are not used.
        classes: all that a label may be.
        label_map: old class → new one, as for the data's own labels.

    Returns:
        the manifest with the labelled images in `train`, and a column `answered` that is True for these.

    Raises:
        UserError: a class is unknown, an image is named twice, or has another label in the data.
    """
    labels, place = _read_labels(manifest, path, classes, label_map), f"data.labels={path}"
    gone = ~labels.index.isin(manifest["image_id"])
    if gone.any():
        log.warning("%s: %s left out, unreadable: %s", place, quantity(gone.sum(), "image"), some(labels.index[gone]))
        labels = labels[~gone]
    known = manifest.set_index("image_id").loc[labels.index]
    if not labels.attrs[PSEUDO]:
        _check_agreement(known["label"], labels, place)
    free = known["label"] == ""
    held = free & known["group"].isin(manifest["group"][manifest["split"].isin(["val", "test"])])
    for marked, reason in (
        # No error: with another fold or a larger label budget the same image need not be in the pool.
        (~free, "not in the pool but labelled already, and ignored"),
        (held, "of a group in val or test and left out"),
        (free & ~held & (known["split"] == ""), "excluded from the pool and left out"),
    ):
        if marked.any():
            n = quantity(marked.sum(), "image", "is")
            log.warning("%s: %s %s: %s", place, n, reason, some(labels.index[marked]))
    joins = labels[free & ~held & (known["split"] == "pool")]
    chosen = manifest["image_id"].isin(joins.index)
    counts = ", ".join(f"{name} {(joins == name).sum()}" for name in classes)
    log.info("%s: %s of the pool used: %s", place, quantity(len(joins), "label"), counts)
    labelled = manifest.assign(
        split=manifest["split"].mask(chosen, "train"),
        label=manifest["label"].mask(chosen, manifest["image_id"].map(joins)),
        answered=chosen,
    )
    if "hidden_label" in labelled:
        labelled["hidden_label"] = labelled["hidden_label"].mask(chosen, "")
    return labelled


def check_labels(
    manifest: pd.DataFrame,
    path: str | Path,
    classes: Sequence[str],
    label_map: Mapping[str, str] | None = None,
    *,
    hides: bool = False,
) -> dict[str, Any]:
    """Refuse what :func:`add_labels` would refuse, before the images are read.

    Args:
        manifest: from a reader, relabelled.
        path: see :func:`add_labels`, as are the next two.
        classes: all that a label may be.
        label_map: old class → new one.
        hides: whether a label budget hides labels, which those of the table may then contradict.

    Returns:
        what cleaning the labels has changed, see :mod:`skinlab.data.audit.text_changes`.

    Raises:
        UserError: an image or a class is unknown, an image is named twice, or has another label in the data.
    """
    labels, place = _read_labels(manifest, path, classes, label_map), f"data.labels={path}"
    known = manifest.set_index("image_id")["label"].reindex(labels.index)
    if (unknown := labels.index[known.isna()]).size:
        raise UserError(
            f"{place}: {quantity(len(unknown), 'row')} without an image of the data: {some(unknown)}; correct image_id"
        )
    if not hides and not labels.attrs[PSEUDO]:
        _check_agreement(known, labels, place)
    return {f"data.labels {name}": found for name, found in labels.attrs.get(ATTRIBUTE, {}).items()}


def _read_labels(
    manifest: pd.DataFrame, path: str | Path, classes: Sequence[str], label_map: Mapping[str, str] | None
) -> pd.Series[str]:
    """Return the labels by image id; refuse repeated images.

    Its `attrs` are the changes of their text, and whether they are a model's: those of labelled images are not used,
    and may be wrong.
    """
    table, place = clean_text(read_image_table(path, ("label",)), ["label"]), f"data.labels={path}"
    table = table[table["label"] != ""]
    if table.empty:
        raise UserError(f"{place} has no label filled in: give a class for one image at least")
    ids = _known_images(manifest, table, place)
    if ids.duplicated().any():
        raise UserError(f"{place} names an image twice: {some(ids[ids.duplicated()].unique())}; keep one row an image")
    renames = clean_label_map(label_map)
    old = match_names(table["label"].unique(), renames)
    table = table.assign(label=map_distinct(table["label"], lambda label: renames.get(old.get(label, label), label)))
    meant = match_names(table["label"].unique(), classes)
    if strange := sorted(set(table["label"].unique()) - set(meant)):
        raise UserError(
            f"{place}: unknown class {strange[0]}{nearest(strange[0], classes)}: the data has {some(classes, 20)}"
        )
    table = replace_columns(table, {"label": map_distinct(table["label"], meant.__getitem__)})
    labels = table.set_index(pd.Index(ids, dtype=str))["label"]
    labels.attrs = dict(table.attrs) | {PSEUDO: COLUMN in table}
    return labels


def _known_images(manifest: pd.DataFrame, table: pd.DataFrame, place: str) -> pd.Series[str]:
    """Return the manifest's id for each row of a table; ids of no image stay as they are.

    It is that of the row's path, where a model's table has those of all its images here: ids are relative to the folder
    that was predicted, and may be those of other folders' images, too. Else it is that of the row's id or, if none is
    known, of the path that the id is.
    """
    ids = table["image_id"]
    if COLUMN in table and "path" in table:
        own = table["path"].map(dict(zip(manifest["path"], manifest["image_id"], strict=True)))
        if own.notna().all():
            return own
    found = join_ids(ids, manifest["image_id"].tolist(), place)
    if not (found != "").any() and "path" in manifest:
        by_path = dict(zip(manifest["path"], manifest["image_id"], strict=True))
        found = join_ids(ids, [path for path in by_path if path], place).map(by_path).fillna("")
    return found.mask(found == "", ids)


def _check_agreement(known: pd.Series[str], labels: pd.Series[str], place: str) -> None:
    """Refuse labels that contradict the known ones, both by image id."""
    if (other := labels.index[(known != "") & (known != labels)]).size:
        first = f"{other[0]} is {known[other[0]]} there and {labels[other[0]]} here"
        raise UserError(
            f"{place}: {quantity(len(other), 'label')} in contradiction to the data: {first}; correct one of them"
        )


def exclude_images(manifest: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Set the split of the images that a table names to "", so that no part of the run uses them.

    This is done after the split, so that the other images keep theirs.

    Args:
        manifest: with the fold chosen.
        path: CSV with an id, see :func:`skinlab.tables.labels.join_ids`.
    """
    named = _read_excluded(manifest, path)
    return manifest.assign(split=manifest["split"].mask(manifest["image_id"].isin(named), ""))


def check_excluded(manifest: pd.DataFrame, path: str | Path) -> None:
    """Refuse a table of :func:`exclude_images` that names none of the images, before these are read.

    Args:
        manifest: from a reader.
        path: CSV with an id; other images than these are reported, but may be named.

    Raises:
        UserError: the table names none of the images.
    """
    named = _read_excluded(manifest, path)
    unknown = named[~named.isin(manifest["image_id"])]
    if len(unknown) == len(named):
        raise UserError(f"data.exclude={path} names no image of the data; its first image_id is {named.iloc[0]}")
    if len(unknown):
        log.warning(
            "data.exclude=%s: %s without an image of the data: %s", path, quantity(len(unknown), "row"), some(unknown)
        )


def _read_excluded(manifest: pd.DataFrame, path: str | Path) -> pd.Series[str]:
    table = read_image_table(path)
    return _known_images(manifest, table, f"data.exclude={path}")
