"""Any table with a row an image."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from skinlab.data.manifest import OPTIONAL_TEXT, build_manifest, some
from skinlab.data.readers.listing import absolute, locate_table
from skinlab.errors import UserError, nearest
from skinlab.tables import read_csv

READABLE = ("image_id", "path", "label", "group", "source", "split", "age", *OPTIONAL_TEXT)
REQUIRED = ("path", "label")


def read_table(root: str | Path, table: str | Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read a table whose columns may have other names than the manifest's.

    Args:
        root: folder below which the paths of the table lie.
        table: the CSV, as it stands or relative to `root`.
        columns: manifest column to the table's column; what is not named goes by the manifest's name. Only `path`
            and `label` must be there: the id falls back to the path, the group to the image (with a warning).

    Raises:
        UserError: the root, the table or a column is missing, a path leaves the root, a split is unknown.
    """
    base = absolute(root)
    if not Path(base).is_dir():
        raise UserError(f"data.root={root} is not a folder: give the folder below which the table's paths lie")
    mapping = {ours: theirs for ours, theirs in (columns or {}).items() if theirs}
    for ours in mapping:
        if ours not in READABLE:
            raise UserError(
                f"data.columns: {ours} is unknown{nearest(ours, READABLE)}: choose of {', '.join(READABLE)}"
            )
    names = {ours: mapping.get(ours, ours) for ours in READABLE}
    required = [names[ours] for ours in READABLE if ours in mapping or ours in REQUIRED]
    rows = read_csv(locate_table(base, table), required)
    frame = pd.DataFrame({ours: rows[theirs] for ours, theirs in names.items() if theirs in rows})
    for column in ("path", "mask_path"):
        if column in frame:
            inside = _below_root(frame[column], base)
            if column == "path" and "image_id" not in frame:
                frame["image_id"] = inside
            frame[column] = (base + "/" + inside).mask(inside == "", "")
    return build_manifest(frame)


def _below_root(paths: pd.Series[str], base: str) -> pd.Series[str]:
    """Return paths relative to the root, or refuse those that leave it.

    Only what could leave the root is taken apart one by one: absolute paths and those with a folder `.` or `..`.
    """
    home = os.path.normpath(base)
    paths = paths.str.removeprefix(f"{home}/").str.removeprefix("./")
    odd = [path for path in paths.tolist() if path and (path[0] in "/." or "/." in path or "//" in path)]
    if not odd:
        return paths
    tidy = {path: os.path.relpath(os.path.normpath(os.path.join(home, path)), home) for path in odd}  # noqa: PTH118
    outside = [path for path, relative in tidy.items() if relative == "." or relative.split("/")[0] == ".."]
    if outside:
        raise UserError(
            f"{len(outside)} paths of the table leave data.root={base}: {some(outside)}; move the images below it"
        )
    return paths.mask(paths.isin(tidy.keys()), paths.map(tidy))
