"""The hashes of images' pixels that a run's split.csv has, joined to its predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from skinlab.evaluation.predictions import Predictions
from skinlab.tables.csv_files import read_csv


def with_image_hashes(table: Predictions, split: Path) -> Predictions:
    """Return predictions with the image hashes of a run's ``split.csv``; as they are where it is missing or has none.

    Raises:
        UserError: the file can't be read.
    """
    if not split.is_file():
        return table
    rows = read_csv(split, ["image_id"])
    if "image_hash" not in rows:
        return table
    known = rows.drop_duplicates("image_id").set_index("image_id")["image_hash"]
    return replace(table, image_hash=known.reindex(table.image_id).fillna("").to_numpy(object))
