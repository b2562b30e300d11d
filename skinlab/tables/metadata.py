"""Read what tables say of their images beside predictions and labels: age, sex, site, skin tone, patient and more."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from skinlab.errors import UserError
from skinlab.evaluation.predictions import PREFIX
from skinlab.tables.csv_files import read_csv
from skinlab.tables.labels import find_column
from skinlab.tables.names import UNIT_NAMES, ColumnNames, with_standard_names
from skinlab.tables.text_columns import clean_column
from skinlab.text import clean

# This project's name → names in published tables, in any case and with any separators.
NAMES = {
    "age": ("age", "age_approx", "age_years", "patient_age"),
    "sex": ("sex", "gender"),
    "site": ("site", "localization", "anatom_site_general_challenge", "anatom_site_general", "anatom_site"),
    "skin_tone": ("skin_tone", "skin_type", "fitzpatrick", "fitzpatrick_skin_type", "fitzpatrick_scale"),
    "source": ("source", "dataset"),
    **UNIT_NAMES,
}


def read_metadata(path: Path, columns: ColumnNames, place: str) -> pd.DataFrame:
    """Return the columns of a table that say something of its images, by image id.

    Args:
        path: CSV, such as a predictions table, a table of labels or a run's ``split.csv``.
        columns: this project's name → the table's; of ``image_id`` and of the columns in ``NAMES``.
        place: the table's name in a message.

    Returns:
        Cleaned text, empty where it is unknown, by image id; well-known columns have this project's names. The
        columns of the file are ``attrs["columns"]``.

    Raises:
        UserError: the table can't be read, has no image ids, or rows of one image that differ.
    """
    raw = read_csv(path)
    table = with_standard_names(raw, columns, (), place)
    table.index = pd.Index(table.pop("image_id").map(clean), name="image_id")
    table = table[[name for name in table.columns if name and not name.startswith(PREFIX)]].apply(clean_column)
    found = {ours: find_column(table.columns, names) for ours, names in NAMES.items() if ours not in table}
    table = table.rename(columns={theirs: ours for ours, theirs in found.items() if theirs})
    repeated = table.index[table.index.duplicated(keep=False)]
    if len(repeated):
        for image, rows in table.loc[repeated].groupby(level=0):
            differing = [name for name in table if rows[name].nunique() > 1 and name in NAMES]
            if differing:
                raise UserError(
                    f"{place}: image {image} has several rows with another {differing[0]} "
                    f"({' and '.join(rows[differing[0]].unique()[:2])}); keep one row an image"
                )
        table = table[~table.index.duplicated()]
    table.attrs["columns"] = list(raw.columns)
    return table
