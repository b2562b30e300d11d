"""The groups of a table of predictions: its own, or else patients or lesions."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from skinlab.tables.names import UNIT_NAMES
from skinlab.tables.text_columns import clean_column
from skinlab.text import portion, two_spellings


def with_groups(table: pd.DataFrame, known: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, list[str]]:
    """Return a table with groups where other columns tell them, and a caution where these are patients or lesions.

    Args:
        table: of predictions.
        known: tables of the same rows, the first of which has a value counts; of ``group``, ``patient`` and ``lesion``.

    >>> rows = pd.DataFrame({"patient": ["P", "P", "Q"]})
    >>> with_groups(rows, [rows])[0]["group"].tolist()
    ['P', 'P', 'Q']
    """
    if "group" in table and (table["group"] != "").any():
        return table, []
    for name in ("group", *UNIT_NAMES):
        values = pd.Series("", index=table.index, dtype=str)
        for each in (each for each in known if name in each):
            values = values.where(values != "", clean_column(each[name]))
        if (values != "").any():
            note = [] if name == "group" else [f"without a column group, images of one {name} are a group."]
            return table.assign(group=values), note
    return table, []


def group_cautions(table: pd.DataFrame) -> list[str]:
    """Return a sentence on missing groups, and on two spellings of one."""
    if "group" not in table:
        return []
    found, missing, pairs = [], int((table["group"] == "").sum()), two_spellings(table["group"])
    if 0 < missing < len(table):
        found.append(f"{portion(missing, len(table), 'image', 'has')} no group: each is a group of its own.")
    if pairs:
        a, b = pairs[0]
        found.append(
            f"groups {a!r} and {b!r} are two groups ({len(pairs)} such pairs); if they are one, write them in one way."
        )
    return found
