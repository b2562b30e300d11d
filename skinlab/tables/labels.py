"""Published tables of labels: the column of the image, and one column of 0 and 1 for each class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from skinlab.errors import UserError, nearest
from skinlab.tables.csv_files import COLUMN_NAMES, numbers, read_csv
from skinlab.tables.image_ids import match_ids
from skinlab.tables.text_columns import clean_column
from skinlab.text import name_key, quantity

ID_COLUMNS = ("image_id", "image", "image_name", "isic_id")
# Columns of classes in published tables; without `label` the user has to choose one.
LABEL_COLUMNS = ("label", "dx", "diagnosis", "diagnosis_1", "benign_malignant", "target", "malignant", "class")


def find_column(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the column with the first of some names that is found, in any case and with any separators.

    >>> find_column(["Image_Name", "target"], ID_COLUMNS)
    'Image_Name'
    """
    by_key = {name_key(column): column for column in reversed(list(columns))}
    return next((by_key[key] for key in map(name_key, names) if key in by_key), None)


def read_image_table(path: str | Path, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table with one row an image, with the column of the image as ``image_id``.

    Args:
        path: a CSV with ids in one of `ID_COLUMNS`.
        required: other columns of the table; ``label`` may be one column a class, see :func:`one_hot_labels`.

    Returns:
        cells as text; ids are cleaned, and empty for a word for a missing value.

    Raises:
        UserError: as :func:`skinlab.tables.csv_files.read_csv`, or there is no column of ids.
    """
    path = Path(str(path)).expanduser()
    table = read_csv(path)
    if "label" in required and "label" not in table and (labels := one_hot_labels(table, str(path))) is not None:
        table = table.assign(label=labels)
    name = find_column(table.columns, ID_COLUMNS)
    for column, found in (("image_id", name), *((each, each if each in table else None) for each in required)):
        if found is None:
            raise UserError(
                f"{path} has no column {column}{nearest(column, table.columns)}: its columns are "
                f"{', '.join(table.columns)}; rename the right one"
            )
    return table.rename(columns={name: "image_id"}).assign(image_id=clean_column(table[name]))


def one_hot_labels(table: pd.DataFrame, place: str) -> pd.Series[str] | None:
    """Return the class of each row of a table with one column of 0 and 1 for each class.

    Args:
        table: cells as text; columns with other values than 0, 1 and nothing are ignored.
        place: the table's name in a message.

    Returns:
        the class of every row, empty for a row of empty cells; None if there are fewer than two such columns, or there
        is a column with a usual name of labels.

    Raises:
        UserError: a row has several 1s, or only zeros.

    >>> table = pd.DataFrame({"image": ["a", "b"], "MEL": ["1.0", "0.0"], "NV": ["0.0", "1.0"]})
    >>> one_hot_labels(table, "t.csv").tolist()
    ['MEL', 'NV']
    """
    if find_column(table.columns, LABEL_COLUMNS):
        return None
    candidates = [name for name in table.columns if name not in (*COLUMN_NAMES, *ID_COLUMNS)]
    values = table[candidates].apply(numbers)
    is_class = (values.isin([0, 1]) | (table[candidates].apply(clean_column) == "")).all() & values.notna().any()
    values = values.loc[:, is_class]
    if values.shape[1] < 2:
        return None
    ones = values.eq(1).sum(axis=1)
    if (wrong := (ones > 1) | ((ones == 0) & values.notna().any(axis=1))).any():
        first = int(wrong.to_numpy().argmax())
        raise UserError(
            f"{place}: {quantity(wrong.sum(), 'row', 'has')} no 1, or several, in the columns "
            f"{', '.join(map(str, values))} (first: {table.iloc[first].iloc[0]}, which has {ones.iloc[first]}); "
            "give every row one class, or give the classes in a column label"
        )
    return values.eq(1).idxmax(axis=1).where(ones == 1, "").astype(str)


def join_ids(ids: pd.Series[str], known: Sequence[str], place: str) -> pd.Series[str]:
    """Return the known id for every id of a table, an empty text if there is none.

    Args:
        ids: of a table, cleaned.
        known: ids or relative paths, see :func:`skinlab.tables.image_ids.match_ids`.
        place: the table's name in a message.

    Raises:
        UserError: there are several known ids for an id.
    """
    matches = match_ids(ids.tolist(), known)
    if matches.ambiguous:
        name, candidates = next(iter(matches.ambiguous.items()))
        raise UserError(
            f"{place}: {quantity(len(matches.ambiguous), 'id')} may mean several images, such as {name}: "
            f"{' or '.join(candidates[:2])}; give them with their folder and suffix"
        )
    return pd.Series(matches.known, index=ids.index, dtype=str)


def check_one_label_each(table: pd.DataFrame, images: Sequence[str], place: str) -> None:
    """Refuse different labels of one image in rows that write its id differently.

    Args:
        table: with ``image_id`` and ``label``.
        images: ids of the images.
        place: the table's name in a message.

    Raises:
        UserError: an image has different labels.

    >>> check_one_label_each(pd.DataFrame({"image_id": ["a", "a.jpg"], "label": ["mel", "mel"]}), ["p/a.jpg"], "t.csv")
    """
    rows = table[table["label"] != ""].assign(image=lambda rows: match_ids(rows["image_id"].tolist(), images).known)
    rows = rows[rows["image"] != ""].drop_duplicates(["image", "label"])
    doubled = rows[rows["image"].duplicated(keep=False)]
    if len(doubled):
        image = doubled["image"].iloc[0]
        both = [f"{row.image_id}: {row.label}" for row in doubled[doubled["image"] == image].itertuples()]
        raise UserError(
            f"{place}: {quantity(doubled['image'].nunique(), 'image', 'has')} rows that contradict each other, such as "
            f"{image} ({', '.join(both)}); keep one row an image"
        )
