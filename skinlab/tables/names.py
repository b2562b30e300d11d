"""Names of columns: well-known ones, and those that the setting ``columns`` gives to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from skinlab.errors import UserError, nearest, some
from skinlab.tables.labels import ID_COLUMNS, find_column

IMAGE_ID_NAMES = (*ID_COLUMNS, "filename", "file_name", "file", "path", "image_path", "id")
# What the images of a group have in common, the larger one first.
UNIT_NAMES = {"patient": ("patient", "patient_id"), "lesion": ("lesion", "lesion_id")}
# A column, or several of which the first one that a table has counts.
Names = str | Sequence[str] | None
# This project's name → the tables'.
ColumnNames = Mapping[str, Names]


def with_standard_names(
    table: pd.DataFrame, columns: ColumnNames, label_names: Sequence[str], place: str
) -> pd.DataFrame:
    """Return a table with its columns under this project's names.

    Args:
        table: as read.
        columns: see :func:`rename_columns`; ``image_id``, ``label``, ``patient`` and ``lesion`` are also found by
            well-known names.
        label_names: well-known names of the label.
        place: the table's name in a message.

    Raises:
        UserError: the table has no column of image ids, two of labels, or two of one name.
    """
    repeated = [name for name in table.columns[table.columns.duplicated()] if name]
    if repeated:
        raise UserError(f"{place} has more than one column {repeated[0]}; keep one of them")
    table = rename_columns(table, columns)
    labels = [name for name in table.columns if find_column([name], label_names)]
    if "label" not in table and len(labels) > 1:
        raise UserError(f"{place} has several columns of labels, {some(labels)}; choose one: columns.label={labels[0]}")
    names = {"image_id": find_column(table.columns, IMAGE_ID_NAMES), "label": (*labels, None)[0]}
    names |= {ours: find_column(table.columns, theirs) for ours, theirs in UNIT_NAMES.items()}
    table = table.rename(columns={theirs: ours for ours, theirs in names.items() if theirs and ours not in table})
    if "image_id" not in table:
        raise UserError(
            f"{place} has no column image_id (found {some(table.columns, 9)}); name it"
            f"{setting_of('image_id', columns)}; if the images have no names, add a column that numbers them"
        )
    return table


def rename_columns(table: pd.DataFrame, columns: ColumnNames) -> pd.DataFrame:
    """Return a table with this project's names for those of its columns that a setting ``columns`` maps.

    A column of patients or lesions that is the group keeps its own name, too.
    """
    mapped = {ours: theirs for ours, theirs in columns_of(table.columns, columns).items() if theirs != ours}
    units = [name for names in UNIT_NAMES.values() for name in names]
    moved = [theirs for ours, theirs in mapped.items() if ours != "group" or not find_column([theirs], units)]
    kept = table.drop(columns=[*mapped, *moved], errors="ignore")
    return kept.assign(**{ours: table[theirs] for ours, theirs in mapped.items()})


def columns_of(there: Iterable[str], columns: ColumnNames) -> dict[str, str]:
    """Return this project's name → the column of a table that a setting ``columns`` maps; without those it lacks.

    >>> columns_of(["File Name", "dx"], {"image_id": ["picture", "File name"], "label": "truth"})
    {'image_id': 'File Name'}
    """
    there, found = list(there), {}
    for ours, theirs in columns.items():
        names = listed(theirs)
        if column := next((name for name in names if name in there), None) or find_column(there, names):
            found[ours] = column
    return found


def listed(names: Names) -> list[str]:
    """Return the names that a setting has for a column."""
    return [names] if isinstance(names, str) and names else list(names or ())


def check_columns(columns: ColumnNames, places: Mapping[str, Sequence[str]]) -> None:
    """Refuse a setting ``columns`` with a column that no table has.

    Args:
        columns: this project's name → the tables'.
        places: name of each table in a message → its columns.
    """
    there = [name for names in places.values() for name in names]
    found = columns_of(there, columns)
    for ours, theirs in columns.items():
        if ours not in found and (names := listed(theirs)):
            written = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
            raise UserError(
                f"columns.{ours}={written}: no such column in {' or '.join(places)}{nearest(names[0], there)}; "
                f"{'there are' if len(there) > 1 else 'there is'} {some(there, 20)}"
            )


def setting_of(ours: str, columns: ColumnNames) -> str:
    r"""Return the setting that names a column which a table lacks, beside the names that other tables have for it.

    >>> setting_of("image_id", {}), setting_of("image_id", {"image_id": "File name"})
    (': columns.image_id=NAME', ', too: \'columns.image_id=["File name", NAME]\'')
    """
    names = [*listed(columns.get(ours)), "NAME"]
    return f": columns.{ours}=NAME" if len(names) == 1 else f", too: 'columns.{ours}={names_as_list(names)}'"


def names_as_list(names: Sequence[str]) -> str:
    """Return names as an override has them, in quotes where they are no plain words."""
    words = (name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else f'"{name}"' for name in names)
    return f"[{', '.join(words)}]"
