"""Clean columns of text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import pandas as pd

from skinlab.errors import some
from skinlab.text import clean, printable, quantity, says_missing

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first characters of what a spreadsheet computes (OWASP: CSV injection)

log = logging.getLogger(__name__)


def clean_column(column: pd.Series) -> pd.Series[str]:
    """Return a column of text with every value cleaned; missing values and words for them become empty."""
    return map_distinct(column, _known_text)


def _known_text(text: str) -> str:
    cleaned = clean(text)
    return "" if says_missing(cleaned) else cleaned


def warn_of_formulas(table: pd.DataFrame, names: Sequence[str]) -> None:
    """Warn of text that a spreadsheet program would run as a formula; programs need it as it is.

    Args:
        table: whose rows will be written to tables.
        names: of columns of text; those that it lacks are left out.
    """
    columns = [table[name].dropna().astype(str) for name in names if name in table]
    begun = [text for column in columns for text in column[column.str.startswith(FORMULA)].unique()]
    found = [text for text in begun if len(text) > 1 and pd.isna(pd.to_numeric(text, errors="coerce"))]
    if found:
        log.warning(
            "%s with =, +, - or @ (%s), which a spreadsheet program runs as a formula where it opens a table of them: "
            "rename them, or import the table as text",
            quantity(len(found), "name", "begins"),
            some(map(printable, found)),
        )


def map_distinct(column: pd.Series, change: Callable[[str], str]) -> pd.Series[str]:
    """Apply a function to every distinct text of a column once; missing values become empty."""
    codes, distinct = pd.factorize(column)
    changed = [*(change(str(value)) for value in distinct.tolist()), ""]  # factorize gives -1 where there is no value
    return pd.Series(pd.Index(changed, dtype=str).take(codes), index=column.index, name=column.name, dtype=str)
