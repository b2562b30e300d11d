"""Reader of a folder with one folder for each class."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pandas as pd

from skinlab.data.images import IMAGE_SUFFIXES
from skinlab.data.manifest import OPTIONAL_TEXT, build_manifest
from skinlab.data.readers.listing import POOL, absolute, check_class_folder, list_files, locate_table
from skinlab.errors import UserError, nearest, some
from skinlab.tables.labels import find_column, join_ids, read_image_table
from skinlab.tables.names import UNIT_NAMES
from skinlab.tables.splits import SPLITS, standard_split
from skinlab.text import is_unlabeled, quantity

log = logging.getLogger(__name__)

EXTRAS = ("group", "source", "age", *OPTIONAL_TEXT[:2])
PARTS = SPLITS[:3]


def read_folder(root: str | Path, groups: str | Path | None = None) -> pd.DataFrame:
    """Read a folder with one folder for each class, which may have subfolders; the id is the relative path.

    The folder `unlabeled`, in any spelling, is the pool.

    Args:
        root: the folder that holds the class folders.
        groups: a CSV with `image_id,group` (and `source`, `age`, `sex`, `site` where known), as it stands or relative
            to `root`; see :func:`skinlab.tables.labels.join_ids` for what its ids may be.

    Raises:
        UserError: no class folders, or one folder that holds them, an image or a part of a split beside them, a folder
            that may be a class or the pool, or a groups table that is malformed, names no image, or names one that may
            be several.
    """
    base = absolute(root)
    files = list_files(base)
    images = files.images
    if loose := [relative for relative in images if "/" not in relative]:
        above = _class_folder_of(base) if len(loose) == len(images) else ""
        raise UserError(
            f"{quantity(len(loose), 'image')} of {base} in no class folder: {some(loose)}; "
            f"{above or 'move them into one'}"
        )
    _refuse_nested(base, images)
    folders = [relative.partition("/")[0] for relative in images]
    _check_folders(base, set(folders))
    frame = pd.DataFrame({"image_id": images, "path": [f"{base}/{relative}" for relative in images]})
    pool = [is_unlabeled(folder) for folder in folders]
    frame["label"] = ["" if unlabeled else folder for folder, unlabeled in zip(folders, pool, strict=True)]
    frame["split"] = ["pool" if unlabeled else "" for unlabeled in pool]
    if groups is not None:
        known = _read_groups(locate_table(base, groups), images)
        frame = frame.join(known, on="image_id")
    frame.attrs |= files.left_out()  # a join would drop them
    return build_manifest(frame)


def _class_folder_of(base: str) -> str:
    """Return a remedy where the root is one of several folders of images, and so a class; "" elsewhere."""
    parent = Path(base).parent
    try:
        others = [each.name for each in sorted(parent.iterdir()) if str(each) != base and _holds_image(each)]
    except OSError:  # it can't be read
        return ""
    return f"set data.root={parent}, if {Path(base).name} is a class beside {some(others)}" if others else ""


def _holds_image(place: Path) -> bool:
    try:
        with os.scandir(place) as entries:
            return any(Path(entry.name).suffix.lower() in IMAGE_SUFFIXES for entry in entries)
    except OSError:  # no folder, or one that can't be read
        return False


def _refuse_nested(base: str, images: list[str]) -> None:
    """Refuse a root whose only folder holds the class folders, as that of an unpacked download often does."""
    shared = os.path.commonpath(images)
    below = sorted({relative.removeprefix(f"{shared}/").partition("/")[0] for relative in images})
    if shared and len(below) > 1 and not any(relative.rpartition("/")[0] == shared for relative in images):
        raise UserError(
            f"data.root={base} holds one folder, {shared}, and no class folders: set data.root={base}/{shared}, which "
            f"has {some(below)}"
        )


def _check_folders(base: str, folders: set[str]) -> None:
    """Refuse folders that are parts of a split, and those that may be a class or the pool."""
    classes = {folder for folder in folders if not is_unlabeled(folder)}
    sides = sorted(folder for folder in classes if standard_split(folder) in PARTS)
    if sides and len(sides) == len(classes):
        raise UserError(
            f"{base} holds {', '.join(sides)} and no class folders: "
            f"give {base}/{sides[0]} as data.root, or a table with a split column (data=table)"
        )
    if sides:
        raise UserError(
            f"{base}/{sides[0]} is a part of a split beside class folders: move its images into the class folders (or "
            f"into {POOL}), or give a table with a split column (data=table)"
        )
    for folder in sorted(classes):
        check_class_folder(f"{base}/{folder}")


def _read_groups(path: Path, images: list[str]) -> pd.DataFrame:
    """Read the groups table, its rows keyed by relative path."""
    table = _with_groups(read_image_table(path), path)
    found = join_ids(table["image_id"], images, str(path))
    unknown = table["image_id"][found == ""]
    if len(unknown) == len(table):
        raise UserError(
            f"{path} names none of the images: its first is {table['image_id'].iloc[0]}, an image's {images[0]}; "
            "give the images' paths below data.root, or their file names"
        )
    if len(unknown):
        log.warning("%s: %s not used, without an image: %s", path, quantity(len(unknown), "row"), some(unknown))
    table = table.assign(image_id=found)[found != ""]
    if doubled := table["image_id"][table["image_id"].duplicated()].tolist():
        raise UserError(f"{path} names an image twice: {some(doubled)}; keep one row an image")
    return table.set_index("image_id")[[name for name in EXTRAS if name in table]]


def _with_groups(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a groups table with ``group``: its own column, or else that of patients, or of lesions."""
    name = find_column(table.columns, ("group", *(each for names in UNIT_NAMES.values() for each in names)))
    if name is None:
        raise UserError(
            f"{path} has no column group{nearest('group', table.columns)}: its columns are {', '.join(table.columns)}; "
            "rename the one of lesions or patients to group"
        )
    return table.rename(columns={name: "group"})
