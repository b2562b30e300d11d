"""Reader of HAM10000 (Tschandl et al. 2018) in the layouts of Kaggle and Dataverse."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from skinlab.data.audit.text_changes import clean_text
from skinlab.data.manifest import build_manifest
from skinlab.data.readers.listing import Listing, absolute, check_root, folder_below, list_files, stem
from skinlab.errors import UserError, some
from skinlab.tables.csv_files import read_csv
from skinlab.tables.labels import join_ids
from skinlab.text import quantity

log = logging.getLogger(__name__)

TABLES = ("HAM10000_metadata", "HAM10000_metadata.tab", "HAM10000_metadata.csv")
MASK_ENDING = "_segmentation"


def read_ham10000(root: str | Path) -> pd.DataFrame:
    """Read HAM10000: its metadata table at the root, images and optional masks anywhere below.

    A row without an image on disk has an empty path; images without a row are listed in
    `manifest.attrs["not_in_table"]`. `dx_type` is not read: how a diagnosis was confirmed would reveal it.

    Raises:
        UserError: the root, its images or the table are missing, or the table is malformed.
    """
    base = absolute(root)
    check_root(base, "ham10000")
    table = clean_text(_metadata(Path(base)), ["image_id"])  # before all files are listed, which may take long
    files = list_files(base)
    photos, masks = _photos_and_masks(files)
    names = join_ids(table["image_id"], list(photos), f"{base}: the metadata").tolist()
    frame = table[["image_id"]].assign(label=table["dx"], group=table["lesion_id"], lesion=table["lesion_id"])
    frame["path"] = [f"{base}/{photos[name]}" if name else "" for name in names]
    optional = {"source": "dataset", "age": "age", "sex": "sex", "site": "localization"}
    for ours, theirs in optional.items():
        if theirs in table:
            frame[ours] = table[theirs]
    if masks:
        frame["mask_path"] = [f"{base}/{masks[name]}" if name in masks else "" for name in names]
    known = set(names)
    used = {masks[name] for name in known & masks.keys()}
    frame.attrs |= files.left_out() | {"masks": tuple(path for path in files.masks if path not in used)}
    frame.attrs["not_in_table"] = [relative for name, relative in photos.items() if name not in known]
    return build_manifest(frame)


def _photos_and_masks(files: Listing) -> tuple[dict[str, str], dict[str, str]]:
    """Return the images and the masks of whole lesions by image id."""
    photos: dict[str, str] = {}
    doubled = [path for path in files.images if photos.setdefault(stem(path), path) != path]
    masks: dict[str, str] = {}
    for path, photo in files.masks.items():
        if stem(path).lower().endswith(MASK_ENDING):
            masks.setdefault(photo, path)
    if doubled:
        # Kaggle's archive carries each part twice, as HAM10000_images_part_1 and as ham10000_images_part_1.
        log.warning("%s twice below the root; not used: %s", quantity(len(doubled), "image name", "is"), some(doubled))
    return photos, masks


def _metadata(base: Path) -> pd.DataFrame:
    """Read the metadata, of two tables from the one with the source."""
    tables = [read_csv(base / name, ("lesion_id", "image_id", "dx")) for name in TABLES if (base / name).is_file()]
    if not tables:
        remedy = folder_below(base, TABLES) or "put the metadata beside the image folders"
        raise UserError(f"data.root={base} holds no {' or '.join(TABLES)}: {remedy}")
    return next((table for table in tables if "dataset" in table), tables[0])
