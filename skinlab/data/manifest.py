"""The manifest: a table with one row an image, the interface between readers and all other packages."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from skinlab.data.audit.text_changes import check_spellings, clean_text, replace_columns
from skinlab.errors import UserError, nearest, some
from skinlab.tables.splits import SPLITS, standard_split
from skinlab.tables.text_columns import clean_column, map_distinct, warn_of_formulas
from skinlab.text import clean, is_missing, match_names, portion, quantity, two_spellings

log = logging.getLogger(__name__)

COLUMNS = ("image_id", "path", "label", "group", "source", "split", "fold")
OPTIONAL_TEXT = ("sex", "site", "skin_tone", "patient", "lesion", "mask_path")
YEARS = re.compile(r"(\d+(?:[.,]\d+)?) ?(?:y|yr|yrs|years?|yo|y/o)?(?: old)?\.?", re.IGNORECASE)
OLDEST = 120  # years
GIANT_SHARE, GIANT_RATIO = 0.05, 10  # of a group: share of all images, and size relative to the next largest


def build_manifest(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a reader's rows with the columns, types and order of a manifest and the frame's `attrs`.

    Text is cleaned (:func:`skinlab.tables.text_columns.clean_column`), except `image_id` and the paths, which may be
    names of files; the changes are counted in `attrs["text_changes"]`.

    Args:
        frame: with `image_id` and `path`, and any other column of a manifest; other columns are dropped.

    Raises:
        UserError: an id is empty or repeated, a split is unknown, an age is no number of years, or two names of a
            column other than `label` are spellings of one name.
    """
    frame = clean_text(frame, ("label", "group", "source", "sex", "site", "skin_tone", "patient", "lesion"))
    readings = {"split": standard_split, "age": _years}
    # Before missing words become empty: `unlabeled` means the pool.
    known = {name: clean_column(map_distinct(frame[name], read)) for name, read in readings.items() if name in frame}
    frame = replace_columns(frame, known)
    columns = {name: _text(frame, name) for name in ("image_id", "path", "label", "group", "source", "split")}
    manifest = pd.DataFrame(columns)
    manifest["fold"] = frame["fold"].fillna(-1).astype("int64") if "fold" in frame else -1
    if "age" in frame:
        manifest["age"] = _ages(frame["age"])
    for name in OPTIONAL_TEXT:
        if name in frame:
            manifest[name] = _text(frame, name)
    _check_ids(manifest["image_id"])
    warn_of_formulas(manifest, ("image_id", "label", "group", "source"))
    if strange := sorted(set(manifest["split"].unique()) - {"", *SPLITS}):
        raise UserError(
            f"unknown split {strange[0]}{nearest(strange[0], SPLITS)}: use {', '.join(SPLITS)}, or nothing; "
            "data=table takes the split from another column by data.columns.split=COLUMN"
        )
    check_spellings(manifest, ("group", "source", "sex", "site", "skin_tone"))
    _caution_giant_group(manifest["group"])
    alone = manifest["group"] == ""
    if alone.any():
        log.warning(
            "%s no group: each is a group of its own, so two photographs of one lesion may be split; where lesions or "
            "patients are known, name them: data.groups=FILE.csv (data=folder), data.columns.group=COLUMN (data=table)",
            portion(alone.sum(), len(manifest), "image", "has"),
        )
        manifest["group"] = manifest["group"].mask(alone, manifest["image_id"])
    if not manifest["image_id"].is_monotonic_increasing:
        ids = manifest["image_id"].tolist()
        manifest = manifest.take(sorted(range(len(ids)), key=ids.__getitem__))
    manifest = manifest.reset_index(drop=True)
    manifest.attrs = dict(frame.attrs)
    return manifest


def _text(frame: pd.DataFrame, name: str) -> pd.Series[str]:
    """Return a column as text, empty where there is no value."""
    if name not in frame:
        return pd.Series("", index=frame.index, dtype=str)
    return frame[name].fillna("").astype(str)


def _years(text: str) -> str:
    """Return the number of an age such as ``45 years`` or ``45,0``; other text stays as it is."""
    found = YEARS.fullmatch(clean(text))
    return found[1].replace(",", ".") if found else text


def _ages(column: pd.Series[str]) -> pd.Series[float]:
    """Return ages in years, NaN where unknown."""
    ages = pd.to_numeric(column, errors="coerce").astype("float64")
    wrong = column[~ages.between(0, OLDEST) & (column != "")]
    if len(wrong):
        raise UserError(
            f"age {wrong.iloc[0]} is no number of years from 0 to {OLDEST} ({quantity(len(wrong), 'row')}): "
            "give years, or nothing where unknown"
        )
    return ages


def _caution_giant_group(groups: pd.Series[str]) -> None:
    """Warn of one very large group, whose name often means unknown in a word that :mod:`skinlab.text` does not list."""
    sizes = groups[groups != ""].value_counts().head(2)
    if len(sizes) == 2 and sizes.iloc[0] >= max(GIANT_SHARE * len(groups), GIANT_RATIO * sizes.iloc[1]):
        log.warning(
            "group %r holds %d of %d images, the next largest %d: if it means unknown, leave these cells empty",
            *(sizes.index[0], sizes.iloc[0], len(groups), sizes.iloc[1]),
        )


def _check_ids(ids: pd.Series[str]) -> None:
    """Refuse rows without an id and repeated ids."""
    if (ids == "").any():
        empty = quantity((ids == "").sum(), "row", "has")
        raise UserError(f"{empty} an empty image_id or path: fill it in or delete the rows")
    repeated = ids[ids.duplicated()]
    if len(repeated):
        raise UserError(f"image_id is repeated for {some(sorted(set(repeated)))}: keep one row an image")


def relabel(
    manifest: pd.DataFrame, label_map: Mapping[str, str] | None = None, classes: Sequence[str] | None = None
) -> pd.DataFrame:
    """Merge classes, and refuse labels that are not among the expected classes.

    Args:
        manifest: with the labels of the data set.
        label_map: old class → new one; other classes stay. A key may be another spelling of a label, or a number, if it
            fits one class only.
        classes: all classes allowed after the merge, also those without images.

    Raises:
        UserError: the map names a class that is not in the data, the data has one that is not in `classes`, or two
            classes are spellings of one name.

    >>> frame = build_manifest(pd.DataFrame({"image_id": ["a", "b"], "path": "", "label": ["mel", "nv"], "group": "g"}))
    >>> relabel(frame, {"mel": "malignant", "nv": "benign"})["label"].tolist()
    ['malignant', 'benign']
    """
    found = class_names(manifest)
    renames = _renames(clean_label_map(label_map), found)
    labels = map_distinct(manifest["label"], lambda label: renames.get(label, label))
    _check_classes(manifest["label"], labels, renames)
    manifest = manifest.assign(label=labels)
    if classes is not None:
        allowed = [clean(str(name)) for name in classes]
        for name in class_names(manifest):
            if name not in allowed:
                count = int((manifest["label"] == name).sum())
                other = match_names([name], allowed).get(name)
                hint = f" (did you mean {other}?)" if other else nearest(name, allowed)
                raise UserError(
                    f"unknown class {name} ({quantity(count, 'image')}){hint}: add it to data.classes or merge it by "
                    "data.label_map"
                )
    return manifest


def _check_classes(before: pd.Series[str], after: pd.Series[str], renames: Mapping[str, str]) -> None:
    """Refuse two classes that are spellings of one name, in the data or after the merge."""
    apart = [(a, b) for a, b in two_spellings(before.unique()) if renames.get(a, a) != renames.get(b, b)]
    for labels, pairs in ((before, apart), (after, two_spellings(after.unique()))):
        if pairs:
            counts = labels.value_counts()
            rare, frequent = sorted(pairs[0], key=lambda name: (counts[name], -len(name)))
            raise UserError(
                f"classes {rare!r} ({quantity(counts[rare], 'image')}) and {frequent!r} ({counts[frequent]}) seem to "
                f"be one: write them in one way, or give both one new class, such as "
                f"'data.label_map={{{rare}: {frequent}}}'"
            )


def clean_label_map(label_map: Mapping[str, str] | None) -> dict[str, str]:
    """Return the map with its names trimmed.

    Raises:
        UserError: a key or a new class is missing, or two spellings of one key have different new classes.

    >>> clean_label_map({"mel ": "malignant", 0: "benign"})
    {'mel': 'malignant', '0': 'benign'}
    """
    renames: dict[str, str] = {}
    for key, value in (label_map or {}).items():
        if not isinstance(value, str | int | float | None):
            raise UserError(f"label_map: {key} has the new class {value}: give one name")
        old, new = clean(str(key)), "" if value is None else clean(str(value))
        if is_missing(old):
            raise UserError(f"label_map: {key!r} counts as no label: give these images another label in the data")
        if is_missing(new):
            raise UserError(f"label_map: {old} has no new class: write {old}: CLASS")
        if renames.setdefault(old, new) != new:
            raise UserError(f"label_map: {old} has two new classes, {renames[old]} and {new}: keep one of them")
    return renames


def _renames(label_map: Mapping[str, str], found: Sequence[str]) -> dict[str, str]:
    """Return the map with the classes of the data as its keys."""
    meant = match_names(label_map, found)
    renames: dict[str, str] = {}
    for key, new in label_map.items():
        if key not in meant:
            raise UserError(
                f"label_map: no image is labelled {key}{nearest(key, found)}: the data has {some(found, 20)}"
            )
        old = meant[key]
        if renames.setdefault(old, new) != new:
            raise UserError(f"label_map: {old} has two new classes, {renames[old]} and {new}: keep one of them")
    return renames


def class_names(manifest: pd.DataFrame) -> list[str]:
    """Return the distinct labels in order; of two classes the last counts as the positive one.

    >>> class_names(pd.DataFrame({"label": ["nv", "", "mel", "nv"]}))
    ['mel', 'nv']
    """
    return sorted(str(label) for label in manifest["label"].unique() if label != "")
