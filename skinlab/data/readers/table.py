"""Reader of a table with one row an image."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from skinlab.data.audit.text_changes import clean_text, replace_columns
from skinlab.data.manifest import OPTIONAL_TEXT, build_manifest
from skinlab.data.readers.listing import Listing, absolute, list_files, locate_table
from skinlab.errors import UserError, nearest, some
from skinlab.tables.csv_files import read_csv
from skinlab.tables.image_columns import check_image_column
from skinlab.tables.image_ids import match_ids
from skinlab.tables.labels import ID_COLUMNS, LABEL_COLUMNS, find_column, join_ids, one_hot_labels
from skinlab.tables.text_columns import clean_column
from skinlab.text import quantity

log = logging.getLogger(__name__)

READABLE = ("image_id", "path", "label", "group", "source", "split", "age", *OPTIONAL_TEXT)
GROUP_COLUMNS = ("patient_id", "lesion_id")  # of ISIC's tables; the user has to choose one of them


def read_table(root: str | Path, table: str | Path, columns: Mapping[str, str | None] | None = None) -> pd.DataFrame:
    """Read a table whose columns may have other names than the manifest's.

    Only an image and a label are required. The image is `path`, or an id in `image_id`, `image`, `image_name` or
    `isic_id`; a path or id that is no file below the root means the image of that name there. The label is `label`, or
    one column of 0 and 1 a class. Without an id the path is the id; without a group the patient is the group, or else
    the lesion, and without these each image is one (with a warning).

    Args:
        root: folder of the images.
        table: the CSV, as it is or relative to `root`.
        columns: column of the manifest → existing one of the table; None for the manifest's name.

    Raises:
        UserError: the root, the table or a column is missing, a path leaves the root, a name may mean several images,
            no name means an image, or a split is unknown.
    """
    base = absolute(root)
    if not Path(base).is_dir():
        raise UserError(f"data.root={root} is not a folder: set data.root=DIR, the folder of the table's images")
    mapping = {ours: str(theirs) for ours, theirs in (columns or {}).items() if theirs not in (None, "")}
    for ours in mapping:
        if ours not in READABLE:
            raise UserError(
                f"data.columns: {ours} is unknown{nearest(ours, READABLE)}: choose of {', '.join(READABLE)}"
            )
    place = locate_table(base, table)
    rows = read_csv(place, list(mapping.values()))
    names = {name: name for name in READABLE if name in rows}
    if id_column := find_column(rows.columns, ID_COLUMNS):
        names["image_id"] = id_column
    names |= mapping
    check_image_column(list(rows.columns), mapping, place)
    frame = pd.DataFrame({ours: rows[theirs] for ours, theirs in names.items()})
    if "label" not in frame:
        frame["label"] = _one_hot(rows, place)
    for name in ("patient", "lesion"):
        if "group" not in frame and name in frame:
            log.info("%s: images of one %s are a group; data.columns.group=COLUMN names another", place, name)
            frame["group"] = frame[name]
    if "group" not in frame and (unused := find_column(rows.columns, GROUP_COLUMNS)):
        log.warning("%s: no column is the group; data.columns.group=%s keeps its images together", place, unused)
    frame = _with_files(clean_text(frame, ["image_id"]), base, place)
    if "mask_path" in frame:
        masks = _below_root(clean_column(frame["mask_path"]).str.replace("\\", "/"), base)
        _refuse_outside(masks, base)
        frame["mask_path"] = (base + "/" + masks).mask(masks == "", "")
    return build_manifest(frame)


def _one_hot(rows: pd.DataFrame, place: Path) -> pd.Series[str]:
    """Return the labels of a table without a column of labels."""
    labels = one_hot_labels(rows, str(place))
    if labels is None:
        likely = [name for name in LABEL_COLUMNS if name in rows] or ["COLUMN"]
        raise UserError(
            f"{place} has no column label: its columns are {some(rows.columns, 20)}; name the one with the classes: "
            f"{' or '.join(f'data.columns.label={name}' for name in likely)}"
        )
    return labels


def _with_files(frame: pd.DataFrame, base: str, place: Path) -> pd.DataFrame:
    """Return the rows with an absolute `path` and an id."""
    if "path" in frame:
        tidy = _below_root(frame["path"], base)
        frame = replace_columns(frame.assign(path=tidy), {"path": _existing(tidy, base, place)})
    else:
        frame = frame.assign(path=_images_of(frame["image_id"], list_files(base), base, place))
        if (twice := frame["image_id"][frame["path"].duplicated(keep=False) & (frame["path"] != "")]).size:
            raise UserError(f"{place}: several ids refer to one image: {some(twice)}; keep one row an image")
    if "image_id" not in frame:
        frame["image_id"] = frame["path"]
    frame["path"] = (base + "/" + frame["path"]).mask(frame["path"] == "", "")
    return frame


def _existing(paths: pd.Series[str], base: str, place: Path) -> pd.Series[str]:
    """Return the paths with those of no file replaced by the path of the image with that name, if there is one."""
    folders = {path.rpartition("/")[0] for path in paths.tolist() if not _leaves(path)}
    missing = ~paths.isin([path for folder in folders for path in _files(base, folder)]) & (paths != "")
    if not missing.any():
        return paths
    try:
        files = list_files(base)
    except UserError:  # there is no image at all: the audit names the missing files
        _refuse_outside(paths, base)
        return paths
    _refuse_outside(paths[[_leaves(path) and os.path.exists(f"{base}/{path}") for path in paths]], base)  # noqa: PTH110
    named = clean_column(paths[missing])
    found = _images_of(named, files, base, place, all_missing=bool(missing.all()))
    paths = paths.mask(missing, found.where((found != "") | (named == ""), paths[missing]))
    _refuse_outside(paths, base)
    if (twice := paths[paths.duplicated() & paths.isin(found[found != ""])]).size:
        raise UserError(f"{place}: several rows refer to the image {some(twice.unique())}; correct their paths")
    return paths


def _files(base: str, folder: str) -> list[str]:
    try:
        return [f"{folder}/{name}" if folder else name for name in os.listdir(f"{base}/{folder}")]  # noqa: PTH208
    except OSError:
        return []


def _images_of(ids: pd.Series[str], files: Listing, base: str, place: Path, all_missing: bool = True) -> pd.Series[str]:
    """Return the relative path of each id's image, empty if there is none.

    Without an image it is a file of a format that can't be read, which the audit reports with its format.
    """
    found = join_ids(ids, files.images, str(place))
    missing = ids[found == ""]
    others = pd.Series(match_ids(missing.tolist(), files.other_formats).known, index=missing.index, dtype=str)
    found = found.mask(found == "", others)
    if all_missing and not (found != "").any():
        raise UserError(
            f"{place} names none of {quantity(len(files.images), 'image')} below data.root={base}: its first is "
            f"{ids.iloc[0]}, an image there {files.images[0]}; give the folder of its images as data.root, or the "
            "right column as data.columns"
        )
    return found


def _below_root(paths: pd.Series[str], base: str) -> pd.Series[str]:
    """Return paths relative to the root; those that leave it begin with ``..``.

    Only paths that may leave the root are processed one by one: absolute ones and those with a folder `.` or `..`.
    """
    home = os.path.normpath(base)
    paths = paths.str.removeprefix(f"{home}/").str.removeprefix("./")
    odd = {path for path in paths.tolist() if path and (path[0] in "/." or "/." in path or "//" in path)}
    if not odd:
        return paths
    tidy = {path: os.path.relpath(os.path.normpath(os.path.join(home, path)), home) for path in odd}  # noqa: PTH118
    return paths.mask(paths.isin(odd), paths.map(tidy))


def _leaves(path: str) -> bool:
    return path == "." or path.split("/")[0] == ".."


def _refuse_outside(paths: pd.Series[str], base: str) -> None:
    """Refuse paths that leave the root."""
    outside = [os.path.normpath(f"{base}/{path}") for path in paths[paths.str.startswith(".")] if _leaves(path)]
    if outside:
        raise UserError(
            f"{quantity(len(outside), 'path')} of the table outside data.root={base}: {some(outside)}; "
            "move the images below it"
        )
