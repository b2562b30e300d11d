"""The quality of a predictions table: rows without a probability or a label, and rounded probabilities."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from skinlab.errors import UserError, some
from skinlab.evaluation.predictions import PREFIX, decimals, probability_floor, table_classes
from skinlab.tables.csv_files import numbers, row_numbers
from skinlab.text import portion, quantity

NO_PROBABILITY, NO_LABEL = "without a probability", "without a label"


def without_incomplete(
    table: pd.DataFrame, columns: Collection[str], place: str, *, needs_label: bool, drop: bool | None
) -> tuple[pd.DataFrame, dict[str, int], list[str]]:
    """Return a table without its incomplete rows, how many were left out for each reason, and a caution of them.

    Args:
        table: as read, with ``image_id``.
        columns: of probabilities.
        place: the table's name in a message.
        needs_label: whether a row without ``label`` is incomplete, since no other table gives it.
        drop: whether they are left out; None where that can't be set.

    Raises:
        UserError: there are incomplete rows that are not to be left out, or no others.
    """
    no_number = pd.Series(data=False, index=table.index)
    for column in columns:
        no_number |= numbers(table[column]).isna()
    no_label = (table["label"] == "") & ~no_number if needs_label and "label" in table else no_number & False
    incomplete = no_number | no_label
    if not incomplete.any():
        return table, {}, []
    if not drop:
        _refuse(table, no_number, columns, place, drop)
        return table, {}, []  # rows without a label are named with the other mistakes of labels
    if incomplete.all():
        raise UserError(f"{place}: no row has a label and a probability; is the right column named?")
    counts = {NO_PROBABILITY: int(no_number.sum()), NO_LABEL: int(no_label.sum())}
    counts = {reason: n for reason, n in counts.items() if n}
    reasons = ", ".join(f"{n} {reason}" for reason, n in counts.items())
    caution = f"{quantity(int(incomplete.sum()), 'row', 'is')} left out ({reasons}; missing=drop)."
    return table[~incomplete].reset_index(drop=True), counts, [caution]


def _refuse(
    table: pd.DataFrame, no_number: pd.Series[bool], columns: Collection[str], place: str, drop: bool | None
) -> None:
    if not no_number.any():
        return
    first = int(no_number.argmax())
    row, image = row_numbers(table)[first], table["image_id"].iloc[first]
    value = next(repr(text) for text in table.iloc[first][list(columns)] if pd.isna(numbers(pd.Series([text]))[0]))
    remedy = "" if drop is None else ", or leave such rows out: missing=drop"
    raise UserError(
        f"{place}: {portion(int(no_number.sum()), len(table), 'row', 'has')} no number in {some(columns, 9)} (first: "
        f"row {row}, image {image}, {value}); correct them{remedy}"
    )


def precision_cautions(table: pd.DataFrame) -> list[str]:
    """Return a caution if the probabilities are rounded, with the zeros and ties that this made."""
    values = table[[PREFIX + name for name in table_classes(table)]].to_numpy()
    rounded = decimals(values)
    if rounded is None:
        return []
    if rounded == 0:
        return ["all probabilities are 0 or 1, so AUROC, average precision and calibration mean little."]
    zeros = int((values == 0).sum())
    tied = int(np.any([pd.Series(column).duplicated(keep=False) for column in values.T], axis=0).sum())
    found = f"probabilities are rounded to {rounded} decimals"
    if zeros:
        found += f"; {zeros} of them are 0 and count as {probability_floor(values):g} in log-loss and calibration"
    if tied:
        found += (
            f"; in the whole table {portion(tied, len(values), 'image', 'ties')} with another in a class, which makes "
            "ranking and thresholds coarser"
        )
    return [f"{found}."]
