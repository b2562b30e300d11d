"""Reader of PH2 (Mendonça et al. 2013), as its authors publish it or as a folder of JPEG images with a table."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from skinlab.data.manifest import build_manifest
from skinlab.data.readers.listing import absolute, check_root, find_file, list_files
from skinlab.errors import UserError
from skinlab.tables.labels import join_ids, read_image_table

TEXT, TABLE = "PH2_dataset.txt", "PH2_simple_dataset.csv"
OWN_TABLE = "labels.csv"  # of a copy with a table of one's own: image_id, diagnosis
CLASSES = ("common_nevus", "atypical_nevus", "melanoma")  # the authors' clinical diagnoses 0, 1 and 2
ROW = re.compile(r"^\|\|\s*(IMD\d+)\s*\|\|[^|]*\|\|\s*([012])\s*\|\|", re.MULTILINE)


def read_ph2(root: str | Path) -> pd.DataFrame:
    """Read PH2: 200 images of as many lesions, each with a clinical diagnosis.

    Raises:
        UserError: the root, its images or its table are missing, or the table is malformed.
    """
    base = absolute(root)
    check_root(base, "ph2")
    text = find_file(base, TEXT, missing_ok=True)
    own = None if text else find_file(base, OWN_TABLE, missing_ok=True)
    frame = _authors_table(text) if text else _csv(own or find_file(base, TABLE))
    files = list_files(base)
    # The authors' folders also hold masks, IMD002_lesion.bmp, and regions of a colour, IMD002_R1_Label3.bmp.
    photographs = [path for path in files.images if re.fullmatch(r"IMD\d+\.\w+", Path(path).name)]
    paths = join_ids(frame["image_id"], photographs, base)
    frame["path"] = (base + "/" + paths).mask(paths == "", "")
    frame["group"] = frame["image_id"]
    frame.attrs |= files.left_out()
    return build_manifest(frame)


def _authors_table(path: Path) -> pd.DataFrame:
    """Read the text file, whose columns are separated by two bars."""
    rows = ROW.findall(path.read_text(encoding="utf-8", errors="replace"))
    if not rows:
        raise UserError(f"{path} has no row such as || IMD003 || || 0 ||: restore it from PH2's archive")
    return pd.DataFrame({"image_id": [name for name, _ in rows], "label": [CLASSES[int(n)] for _, n in rows]})


def _csv(path: Path) -> pd.DataFrame:
    table = read_image_table(path, ["diagnosis"])
    labels = table["diagnosis"].str.strip().str.lower().str.replace(" ", "_")
    if wrong := sorted(set(labels) - set(CLASSES)):
        raise UserError(f"{path}: the diagnosis {wrong[0]!r} is none of PH2's ({', '.join(CLASSES)}); correct it")
    return table[["image_id"]].assign(label=labels)
