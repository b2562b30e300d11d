"""The manifest: one row an image, the only thing the rest of the package knows about a data set."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from skinlab.errors import UserError, nearest

log = logging.getLogger(__name__)

COLUMNS = ("image_id", "path", "label", "group", "source", "split", "fold")
OPTIONAL_TEXT = ("sex", "site", "mask_path")
SPLITS = ("train", "val", "test", "pool", "held_out")  # held_out: a challenge's test, whose labels nobody here knows
UNKNOWN_AGES = ("", "unknown", "nan", "na", "n/a", "none")


def some(names: Iterable[object], limit: int = 3) -> str:
    """Name the first few of many things.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    listed = [str(name) for name in names]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")


def build_manifest(frame: pd.DataFrame) -> pd.DataFrame:
    """Give a reader's rows the columns, types and order of a manifest; `frame.attrs` stay.

    Args:
        frame: at least `image_id` and `path`; any other manifest column; everything else is dropped.

    Raises:
        UserError: an id is empty or doubled, a split is unknown, an age is not a number.
    """
    columns = {name: _text(frame, name) for name in ("image_id", "path", "label", "group", "source", "split")}
    manifest = pd.DataFrame(columns)
    manifest["fold"] = frame["fold"].fillna(-1).astype("int64") if "fold" in frame else -1
    if "age" in frame:
        manifest["age"] = _ages(frame["age"])
    for name in OPTIONAL_TEXT:
        if name in frame:
            manifest[name] = _text(frame, name)
    _check_ids(manifest["image_id"])
    if strange := sorted(set(manifest["split"].unique()) - {"", *SPLITS}):
        raise UserError(f"unknown split {strange[0]}{nearest(strange[0], SPLITS)}: use {', '.join(SPLITS)}, or nothing")
    alone = manifest["group"] == ""
    if alone.any():
        log.warning(
            "%d of %d images have no group: each counts as its own, so two photographs of one lesion may be split",
            alone.sum(),
            len(manifest),
        )
        manifest["group"] = manifest["group"].mask(alone, manifest["image_id"])
    if not manifest["image_id"].is_monotonic_increasing:
        ids = manifest["image_id"].tolist()
        manifest = manifest.take(sorted(range(len(ids)), key=ids.__getitem__))
    manifest = manifest.reset_index(drop=True)
    manifest.attrs = dict(frame.attrs)
    return manifest


def _text(frame: pd.DataFrame, name: str) -> pd.Series[str]:
    """Return a column as text, empty where nothing is known."""
    if name not in frame:
        return pd.Series("", index=frame.index, dtype=str)
    return frame[name].fillna("").astype(str)


def _ages(column: pd.Series) -> pd.Series[float]:
    """Return ages in years, NaN where unknown."""
    ages = pd.to_numeric(column, errors="coerce").astype("float64")
    wrong = column[ages.isna() & ~column.fillna("").astype(str).str.strip().str.lower().isin(UNKNOWN_AGES)]
    if len(wrong):
        raise UserError(f"age {wrong.iloc[0]} is not a number: give years, or nothing where unknown")
    return ages


def _check_ids(ids: pd.Series[str]) -> None:
    """Refuse rows without an id and ids that name two rows."""
    if (ids == "").any():
        raise UserError(f"{(ids == '').sum()} rows have an empty image_id or path: fill it in or delete the rows")
    doubled = ids[ids.duplicated()]
    if len(doubled):
        raise UserError(f"image_id is doubled for {some(sorted(set(doubled)))}: keep one row an image")


def relabel(
    manifest: pd.DataFrame, label_map: Mapping[str, str] | None = None, classes: Sequence[str] | None = None
) -> pd.DataFrame:
    """Merge classes, and hold the labels against the classes that are expected.

    Args:
        manifest: labels as the reader found them.
        label_map: old class to new class; classes that are not named stay.
        classes: every class allowed after the merge; one without images is allowed, an unknown label is not.

    Raises:
        UserError: the map names a class that is not in the data, or the data has one that is not in `classes`.

    >>> frame = build_manifest(pd.DataFrame({"image_id": ["a", "b"], "path": "", "label": ["mel", "nv"], "group": "g"}))
    >>> relabel(frame, {"mel": "malignant", "nv": "benign"})["label"].tolist()
    ['malignant', 'benign']
    """
    found = class_names(manifest)
    renames = {str(old): new for old, new in (label_map or {}).items()}
    for old, new in renames.items():
        if old not in found:
            raise UserError(
                f"label_map: no image is labelled {old}{nearest(old, found)}: the data has {some(found, 20)}"
            )
        if not new:
            raise UserError(f"label_map: {old} has no new class: write {old}: <class>")
    manifest = manifest.copy()
    if renames:
        manifest["label"] = manifest["label"].map(lambda label: str(renames.get(label, label)))
    if classes is not None:
        allowed = [str(name) for name in classes]
        for name in class_names(manifest):
            if name not in allowed:
                count = int((manifest["label"] == name).sum())
                raise UserError(
                    f"unknown class {name} ({count} images){nearest(name, allowed)}: "
                    "add it to data.classes or merge it by data.label_map"
                )
    return manifest


def class_names(manifest: pd.DataFrame) -> list[str]:
    """Return the distinct labels in order; of two classes the last counts as the positive one.

    >>> class_names(pd.DataFrame({"label": ["nv", "", "mel", "nv"]}))
    ['mel', 'nv']
    """
    return sorted(str(label) for label in manifest["label"].unique() if label != "")
