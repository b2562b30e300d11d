"""Image-level labels of artefacts: ``artefacts=CSV``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skinlab.alterations.artefacts import ARTEFACTS
from skinlab.errors import UserError, some
from skinlab.tables.csv_files import numbers, read_csv
from skinlab.tables.image_ids import match_ids


def read_artefacts(place: str, known: Sequence[str]) -> pd.DataFrame:
    """Return the probability of each artefact in the images that a table names, by their ids.

    Args:
        place: CSV with ``image_id`` and a column an artefact (:data:`skinlab.alterations.artefacts.ARTEFACTS`) with its
            probability, or 0 and 1; empty where unknown. Other columns are left out.
        known: ids of the images.

    Raises:
        UserError: the table can't be read, has no known column, no image of these, an image twice, or another value.
    """
    table = read_csv(Path(place).expanduser(), ["image_id"])
    names = [name for name in table.columns if name in ARTEFACTS]
    if not names:
        raise UserError(
            f"artefacts={place} has no column of an artefact ({', '.join(ARTEFACTS)}): its columns are "
            f"{some(table.columns)}; rename those of artefacts"
        )
    values = table[names].apply(numbers)
    wrong = (table[names] != "") & ~((values >= 0) & (values <= 1))
    if wrong.any(axis=None):
        row, column = next((row, name) for name in names for row in wrong.index[wrong[name]])
        raise UserError(
            f"artefacts={place}: {column} of {table['image_id'][row]} is {table[column][row]!r}; give a probability "
            "from 0 to 1, or nothing where it is unknown"
        )
    ids = pd.Series(match_ids([*table["image_id"]], known).known)
    if not (ids != "").any():
        raise UserError(
            f"artefacts={place} is of other images: none of its {len(ids)} image_id ({some(table['image_id'])}) is an "
            f"image that the model is tried on ({some(known)}); give the table of these"
        )
    twice = ids[(ids != "") & ids.duplicated()]
    if len(twice):
        raise UserError(f"artefacts={place} has more than one row of {some(twice.unique())}; leave one row an image")
    return values.assign(image_id=ids)[ids != ""].set_index("image_id")
