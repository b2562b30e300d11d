"""The images that a prediction is asked for: a folder's, a table's, or one."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skinlab.data.image_formats import OTHER_IMAGE_SUFFIXES
from skinlab.data.images import IMAGE_SUFFIXES
from skinlab.data.manifest import some
from skinlab.data.readers.listing import Listing, find_masks, left_out_warnings, list_files, stem
from skinlab.errors import UserError, nearest
from skinlab.evaluation.predictions import COLUMNS
from skinlab.tables import read_csv

log = logging.getLogger(__name__)

TABLE_SUFFIXES = (".csv", ".tsv", ".tab")


def find_images(place: str, *, missing_ok: bool = False) -> pd.DataFrame:
    """List the images of a folder (sorted, with all folders below), of a table (in its order), or a single one.

    A table names images in the column ``path`` (relative to the table's folder or absolute), else in ``image_id`` (a
    file below the table's folder, by relative path or by name with or without suffix).

    Args:
        place: the folder, the CSV or the image.
        missing_ok: whether a table's path may lead to no file.

    Returns:
        ``image_id`` (unless a table has its own: the path relative to the input), ``path`` (absolute), and what else a
        table has of the predictions' columns.

    Raises:
        UserError: there is nothing at that place, or nothing that can be predicted.
    """
    given = Path(place).expanduser().absolute()
    suffix = given.suffix.lower()
    if given.is_dir():
        files = _list(given)
        for line in left_out_warnings(files.masks, files.other_formats):
            log.warning(line)
        return pd.DataFrame({"image_id": files.images, "path": [f"{given}/{relative}" for relative in files.images]})
    if not given.exists():
        raise UserError(f"input={place}: no such file or folder; give a folder, a CSV or an image")
    if suffix in TABLE_SUFFIXES:
        return _table(given, missing_ok)
    if suffix in IMAGE_SUFFIXES:
        return pd.DataFrame({"image_id": [given.name], "path": [str(given)]})
    if kind := OTHER_IMAGE_SUFFIXES.get(suffix):
        raise UserError(f"input={place}: {kind} images can't be read; convert it to JPEG or PNG")
    raise UserError(f"input={place}: neither a folder, nor a CSV, nor an image ({', '.join(sorted(IMAGE_SUFFIXES))})")


def _list(folder: Path) -> Listing:
    try:
        return list_files(folder)
    except UserError as error:
        raise UserError(str(error).replace("data.root=", "input=", 1)) from None


def _table(path: Path, missing_ok: bool) -> pd.DataFrame:
    table = read_csv(path, [])
    base = path.parent
    if "path" in table:
        given = table["path"].tolist()
        _check_inside(path, given)
        ids = table.get("image_id", pd.Series([each.removeprefix(f"{base}/").removeprefix("./") for each in given]))
    elif "image_id" in table:
        ids = table["image_id"]
        given = _below(path, ids.tolist())
    else:
        hint = nearest("path", table.columns)
        raise UserError(
            f"{path} has neither a column path nor image_id{hint}; its columns are {some(table.columns, 9)}"
        )
    _check_ids(path, ids)
    paths = [os.path.join(base, each) for each in given]  # noqa: PTH118 (a Path each costs a million rows seconds)
    missing = [] if missing_ok else [each for each in paths if not os.path.isfile(each)]  # noqa: PTH113
    if missing:
        raise UserError(
            f"{len(missing)} of {len(paths)} images of {path} are missing: {some(missing)}; put them there, or leave "
            "them out: on_bad_image=drop"
        )
    if masks := find_masks(given):
        log.warning("%d rows of %s are masks by their names: %s; delete those rows", len(masks), path, some(masks))
    known = table[[name for name in COLUMNS if name in table]]
    return known.assign(image_id=ids, path=paths)


def _check_inside(table: Path, paths: Sequence[str]) -> None:
    """Refuse empty paths, and relative ones that leave the table's folder."""
    empty = sum(not each for each in paths)
    if empty:
        raise UserError(f"{empty} rows of {table} have no path; fill it in or delete the rows")
    outside = [p for p in paths if ".." in p and not p.startswith("/") and os.path.normpath(p).startswith("..")]
    if outside:
        raise UserError(f"{len(outside)} paths of {table} leave its folder: {some(outside)}; give absolute ones")


def _check_ids(table: Path, ids: pd.Series[str]) -> None:
    if (ids == "").any():
        raise UserError(f"{(ids == '').sum()} rows of {table} have no image_id; fill it in or delete the rows")
    doubled = ids[ids.duplicated()]
    if len(doubled):
        raise UserError(f"{table} names {some(doubled.unique())} more than once; keep one row an image")


def _below(table: Path, ids: Sequence[str]) -> list[str]:
    """Find the file below a table's folder that each id names."""
    found: dict[str, str | None] = {}
    files = _list(table.parent)
    images = files.images
    for relative in images:
        for key in {relative.rpartition("/")[2], stem(relative)} - {relative}:
            found[key] = None if key in found else relative
    found |= {relative: relative for relative in images}
    unclear = [name for name in ids if name in found and found[name] is None]
    if unclear:
        raise UserError(f"{table}: below its folder several images are called {some(unclear)}; add a column path")
    unknown = [name for name in ids if name not in found]
    if unknown:
        besides = "".join(f"; {line}" for line in left_out_warnings(files.masks, files.other_formats))
        names = f"{len(unknown)} rows of {table} name no image below its folder: {some(unknown)}"
        raise UserError(f"{names}; add a column path{besides}")
    return [str(found[name]) for name in ids]
