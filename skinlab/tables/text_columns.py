"""Clean columns of text."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from skinlab.text import clean, says_missing


def clean_column(column: pd.Series) -> pd.Series[str]:
    """Return a column of text with every value cleaned; missing values and words for them become empty."""
    return map_distinct(column, _known_text)


def _known_text(text: str) -> str:
    cleaned = clean(text)
    return "" if says_missing(cleaned) else cleaned


def map_distinct(column: pd.Series, change: Callable[[str], str]) -> pd.Series[str]:
    """Apply a function to every distinct text of a column once; missing values become empty."""
    codes, distinct = pd.factorize(column)
    changed = [*(change(str(value)) for value in distinct.tolist()), ""]  # factorize gives -1 where there is no value
    return pd.Series(pd.Index(changed, dtype=str).take(codes), index=column.index, name=column.name, dtype=str)
