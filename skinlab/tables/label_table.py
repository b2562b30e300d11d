"""Read a table with the labels of images, for predictions without labels or to check theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skinlab.errors import UserError, nearest, some
from skinlab.tables.csv_files import read_csv, row_numbers
from skinlab.tables.labels import LABEL_COLUMNS, one_hot_labels
from skinlab.tables.names import UNIT_NAMES, ColumnNames, listed, setting_of, with_standard_names
from skinlab.tables.text_columns import clean_column
from skinlab.text import clean

FROM_LABELS = ("label", "group", "source")


def read_labels(
    path: str, place: str, columns: ColumnNames, label_names: Sequence[str] = LABEL_COLUMNS
) -> pd.DataFrame:
    """Read a table of labels: ``image_id``, ``label`` and, if known, ``group``, ``source``, ``patient`` and ``lesion``.

    Args:
        path: CSV with a column of labels, or one column of 0 and 1 a class.
        place: its name in a message.
        columns: this project's name → the table's.
        label_names: well-known names of the label.

    Returns:
        Cleaned text, a row an image; ``attrs["columns"]`` are the columns of the file.

    Raises:
        UserError: the table can't be read, has no ids or labels, or several rows of an image.
    """
    raw = read_csv(Path(path).expanduser())
    table = with_standard_names(raw, columns, label_names, place)
    if "label" not in table:
        labels = one_hot_labels(table, place)
        if labels is None:
            name = next(iter(listed(columns.get("label"))), "label")
            hint = nearest(name, table.columns)
            remedy = ": columns.label=NAME" if hint else setting_of("label", columns)
            raise UserError(
                f"{place} has neither a column {name}{hint} nor one column of 0 and 1 a class "
                f"(found {some(table.columns, 9)}); name the one with the labels{remedy}"
            )
        table = table.assign(label=labels)
    table = table[[name for name in ("image_id", *FROM_LABELS, *UNIT_NAMES) if name in table]]
    table = with_clean_text(table.drop_duplicates(), place)
    table.attrs["columns"] = list(raw.columns)
    return table


def with_clean_text(table: pd.DataFrame, place: str) -> pd.DataFrame:
    """Return a table with trimmed texts, and empty ones for missing groups and sources."""
    table = table.assign(**{name: clean_column(table[name]) for name in ("group", "source") if name in table})
    table["image_id"] = [clean(text) for text in table["image_id"].tolist()]
    if (table["image_id"] == "").any():
        row = row_numbers(table[table["image_id"] == ""])[0]
        raise UserError(f"{place}: row {row} has no image_id; give it one or drop the row")
    repeats = table["image_id"][table["image_id"].duplicated()]
    if len(repeats):
        raise UserError(
            f"{place}: image {repeats.iloc[0]} has several rows; keep one row an image ({len(repeats)} are too many), "
            "or name the column that tells images apart: columns.image_id=NAME"
        )
    return table
