"""DSM-2025 (Kaggle): few malignant images, many benign ones, and a large unlabeled pool."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from skinlab.data.manifest import build_manifest
from skinlab.data.readers.listing import absolute, check_root, folder_below, list_files
from skinlab.errors import UserError, nearest, some
from skinlab.text import quantity

log = logging.getLogger(__name__)

CLASSES = ("0", "1")
POOL = "Unlabeled"


def read_dsm2025(root: str | Path) -> pd.DataFrame:
    """Read `train/0`, `train/1` and `train/Unlabeled`; the id is the relative path, since file names repeat.

    The images of `test/` have no labels and are not used in training: their split is `held_out`, so that copies of them
    are found and left out of the pool.

    Raises:
        UserError: the root or a class folder is missing, or `train/` holds another folder.
    """
    base = absolute(root)
    check_root(base, "dsm2025")
    if not Path(base, "train").is_dir():  # before all files are listed, which may take long
        raise _without_images(base, CLASSES[0])
    labels: dict[str, str] = {}
    strays: list[str] = []
    files = list_files(base)
    for relative in files.images:
        top, folder = [*relative.split("/")[:-1], "", ""][:2]
        if top == "train" and folder:
            if folder not in (*CLASSES, POOL):
                hint = nearest(folder, (*CLASSES, POOL))
                raise UserError(f"{base}/train/{folder} is no class of DSM-2025{hint}: keep 0, 1 and {POOL} there")
            labels[relative] = "" if folder == POOL else folder
        elif top == "test":
            labels[relative] = ""
        else:
            strays.append(relative)
    for name in CLASSES:
        if name not in labels.values():
            raise _without_images(base, name)
    if strays:
        log.warning(
            "%s outside train/0, train/1, train/%s and test/ not used: %s",
            *(quantity(len(strays), "image"), POOL, some(strays)),
        )
    frame = pd.DataFrame({"image_id": list(labels), "label": list(labels.values())})
    frame["path"] = [f"{base}/{relative}" for relative in labels]
    frame.attrs |= files.left_out()
    unlabeled = frame["image_id"].str.startswith("test/").map({True: "held_out", False: "pool"})
    frame["split"] = unlabeled.mask(frame["label"] != "", "")
    return build_manifest(frame)


def _without_images(base: str, name: str) -> UserError:
    """Return the mistake of a root without images of a class."""
    remedy = folder_below(base, [f"train/{name}"]) or "data.root is the folder above train/ and test/"
    return UserError(f"{base}/train/{name} holds no image: {remedy}")
