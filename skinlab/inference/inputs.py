"""Find the images to predict: those of a folder or a table, or a single one."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from skinlab.data.image_formats import OTHER_IMAGE_SUFFIXES
from skinlab.data.images import IMAGE_SUFFIXES
from skinlab.data.readers.listing import Listing, find_masks, left_out_warnings, list_files
from skinlab.errors import UserError, nearest, some
from skinlab.evaluation.predictions import COLUMNS
from skinlab.tables.columns import renamed, unmatched
from skinlab.tables.csv_files import read_csv
from skinlab.tables.image_ids import match_ids
from skinlab.tables.labels import find_column, join_ids
from skinlab.tables.names import IMAGE_ID_NAMES, check_columns, rename_columns
from skinlab.tables.text_columns import clean_column, warn_of_formulas
from skinlab.text import clean, portion, quantity

log = logging.getLogger(__name__)

TABLE_SUFFIXES = (".csv", ".tsv", ".tab")


def find_images(
    place: str,
    *,
    missing_ok: bool = False,
    columns: Mapping[str, str | None] | None = None,
    label_map: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """List the images of a folder (sorted, with all folders below), of a table (in its order), or a single one.

    A table names images in the column ``path`` (relative to the table's folder or absolute), else in ``image_id`` or a
    usual name of it (a file below the table's folder, by relative path or by name with or without suffix).

    Args:
        place: the folder, the CSV or the image.
        missing_ok: whether a table's path may lead to no file.
        columns: our name → the table's.
        label_map: old label of a table → new one.

    Returns:
        ``image_id`` (unless a table has its own: the path relative to the input), ``path`` (absolute), and what else a
        table has of the predictions' columns.

    Raises:
        UserError: there is nothing at that place, or nothing that can be predicted.
    """
    path = Path(place).expanduser().absolute()
    suffix, columns = path.suffix.lower(), {ours: theirs for ours, theirs in (columns or {}).items() if theirs}
    if (columns or label_map) and path.exists() and suffix not in TABLE_SUFFIXES:
        setting = "columns" if columns else "label_map"
        raise UserError(f"{setting}= is for a table, which input={place} is not; leave it out")
    if path.is_dir():
        files = _list(path)
        for line in left_out_warnings(files.masks, files.other_formats):
            log.warning(line)
        found = pd.DataFrame({"image_id": files.images, "path": [f"{path}/{relative}" for relative in files.images]})
        warn_of_formulas(found, ["image_id"])
        return found
    if not path.exists():
        raise UserError(f"input={place}: no such file or folder; give a folder, a CSV or an image")
    if suffix in TABLE_SUFFIXES:
        rows = _table(path, missing_ok, columns)
        warn_of_formulas(rows, COLUMNS)
        if label_map:
            if "label" not in rows:
                raise UserError(
                    f"label_map=: {place} has no column label; name it, columns.label=NAME, or leave the map out"
                )
            names = {str(old): str(new) for old, new in label_map.items()}
            if unused := unmatched(names, labels := [name for name in rows["label"].unique() if name]):
                raise UserError(
                    f"label_map: no image of {place} is labelled {unused[0]}{nearest(unused[0], labels)}: it has "
                    f"{some(labels, 20)}"
                )
            rows["label"] = rows["label"].map(renamed(rows["label"], names))
        return rows
    if suffix in IMAGE_SUFFIXES:
        return pd.DataFrame({"image_id": [path.name], "path": [str(path)]})
    if kind := OTHER_IMAGE_SUFFIXES.get(suffix):
        raise UserError(f"input={place}: {kind} images can't be read; convert it to JPEG or PNG")
    raise UserError(f"input={place}: neither a folder, nor a CSV, nor an image ({', '.join(sorted(IMAGE_SUFFIXES))})")


def _list(folder: Path) -> Listing:
    try:
        return list_files(folder)
    except UserError as error:
        raise UserError(str(error).replace("data.root=", "input=", 1)) from None


def _table(path: Path, missing_ok: bool, columns: Mapping[str, str | None]) -> pd.DataFrame:
    table = read_csv(path)
    check_columns(columns, {str(path): list(table.columns)})
    table = rename_columns(table, columns)
    base, id_column = path.parent, find_column(table.columns, IMAGE_ID_NAMES)
    if "path" in table:
        listed = table["path"].tolist()
        _check_inside(path, listed)
        own = (each.removeprefix(f"{base}/").removeprefix("./") for each in listed)
        ids = table["image_id"].map(clean) if "image_id" in table else pd.Series(own, dtype=str)
    elif id_column is not None:
        ids, listed = table[id_column].map(clean), _below(path, table[id_column])
    else:
        raise UserError(
            f"{path} has neither a column path nor image_id{nearest('path', table.columns)}; its columns are "
            f"{some(table.columns, 9)}; name one: columns.path=NAME"
        )
    _check_ids(path, ids)
    paths = [os.path.join(base, each) for each in listed]  # noqa: PTH118 (a Path each costs a million rows seconds)
    missing = [] if missing_ok else [i for i, each in enumerate(paths) if not os.path.isfile(each)]  # noqa: PTH113
    if missing:
        for i, found in zip(missing, _elsewhere(path, [listed[i] for i in missing], len(paths)), strict=True):
            paths[i] = str(base / found)
    if masks := find_masks(listed):
        line = "%s of %s with the name of a mask: %s; delete those that are masks"
        log.warning(line, quantity(len(masks), "row"), path, some(masks))
    known = {name: clean_column(table[name]) for name in COLUMNS if name in table}
    return pd.DataFrame(known | {"image_id": ids, "path": paths}, index=table.index)


def _elsewhere(table: Path, paths: Sequence[str], n: int) -> list[str]:
    """Return the files below a table's folder of the names of paths that lead to no file, such as Windows' own.

    Raises:
        UserError: there is none, or several have that name.
    """
    try:
        images = _list(table.parent).images
    except UserError:  # it holds none
        images = []
    found = match_ids(paths, images).known
    missing = [path for path, each in zip(paths, found, strict=True) if not each]
    if missing:
        raise UserError(
            f"{portion(len(missing), n, f'image of {table}', 'is')} missing: {some(missing)}; put them there, or "
            "leave them out: on_bad_image=drop"
        )
    log.warning(
        "%s to no file; taken are the files of those names below its folder, such as %s for %s",
        *(portion(len(paths), n, f"path of {table}", "leads"), found[0], paths[0]),
    )
    return found


def _check_inside(table: Path, paths: Sequence[str]) -> None:
    """Refuse empty paths, and relative ones that leave the table's folder."""
    empty = sum(not each for each in paths)
    if empty:
        raise UserError(f"{quantity(empty, 'row')} of {table} without a path; fill it in or delete the rows")
    outside = [p for p in paths if ".." in p and not p.startswith("/") and os.path.normpath(p).startswith("..")]
    if outside:
        raise UserError(
            f"{quantity(len(outside), 'path')} of {table} outside its folder: {some(outside)}; give absolute ones"
        )


def _check_ids(table: Path, ids: pd.Series[str]) -> None:
    if (ids == "").any():
        raise UserError(
            f"{quantity((ids == '').sum(), 'row')} of {table} without image_id; fill it in or delete the rows"
        )
    doubled = ids[ids.duplicated()]
    if len(doubled):
        raise UserError(f"{table} names {some(doubled.unique())} more than once; keep one row an image")


def _below(table: Path, ids: pd.Series[str]) -> list[str]:
    """Find the file below a table's folder that each id names."""
    files = _list(table.parent)
    found = join_ids(ids, files.images, str(table))
    unknown = ids[found == ""]
    if len(unknown):
        besides = "".join(f"; {line}" for line in left_out_warnings(files.masks, files.other_formats))
        names = f"{quantity(len(unknown), 'row')} of {table} without an image below its folder: {some(unknown)}"
        raise UserError(f"{names}; add a column path{besides}")
    return found.tolist()
