"""Clean the text columns of a reader's rows, and count the changes for the audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

import pandas as pd

from skinlab.errors import UserError
from skinlab.tables.text_columns import clean_column
from skinlab.text import quantity, two_spellings

ATTRIBUTE = "text_changes"  # of a frame: column → Changes
METADATA = ("age", "sex", "site")  # often missing; splits, training and metrics do not depend on them
EXAMPLES = 3


class Changes(TypedDict):
    """The changed values of a column, the missing ones among them, and some of them: old → new."""

    changed: int
    missing: int
    examples: dict[str, str]


def clean_text(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Return the frame with some columns as clean text, empty for missing values, and the changes counted.

    >>> frame = clean_text(pd.DataFrame({"label": ["mel ", "NA", "nv"]}), ["label", "group"])
    >>> frame["label"].tolist()
    ['mel', '', 'nv']
    >>> frame.attrs["text_changes"]
    {'label': {'changed': 2, 'missing': 1, 'examples': {'NA': '', 'mel ': 'mel'}}}
    """
    return replace_columns(frame, {name: clean_column(frame[name]) for name in columns if name in frame})


def replace_columns(frame: pd.DataFrame, columns: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Return the frame with some columns replaced, and the changed values counted in its `attrs`."""
    changes = {name: found for name, new in columns.items() if (found := _changes(frame[name], new))}
    replaced = frame.assign(**columns)
    if changes:
        replaced.attrs[ATTRIBUTE] = merged(frame.attrs.get(ATTRIBUTE, {}), changes)
    return replaced


def merged(before: Mapping[str, Changes], after: Mapping[str, Changes]) -> dict[str, Changes]:
    """Return the sum of the changes of two passes over the same columns."""
    total = {**before, **after}
    for name, new in after.items():
        if name in before:
            old = before[name]
            examples = dict(list({**old["examples"], **new["examples"]}.items())[:EXAMPLES])
            changed, missing = old["changed"] + new["changed"], old["missing"] + new["missing"]
            total[name] = {"changed": changed, "missing": missing, "examples": examples}
    return total


def _changes(before: pd.Series, after: pd.Series) -> Changes | None:
    """Count the changed values; None if there are none."""
    text = before.fillna("").astype(str)
    different = (text != after).to_numpy()
    if not different.any():
        return None
    pairs = pd.DataFrame({"old": text[different], "new": after[different].astype(str)})
    examples = pairs.drop_duplicates().sort_values(["old", "new"]).head(EXAMPLES)
    return {
        "changed": len(pairs),
        "missing": int((pairs["new"] == "").sum()),
        "examples": dict(zip(examples["old"], examples["new"], strict=True)),
    }


def describe_changes(changes: Mapping[str, Changes]) -> str:
    """Return one line about the changes, without missing ages, sexes and sites.

    >>> describe_changes({"label": {"changed": 2, "missing": 1, "examples": {"NA": "", "mel ": "mel"}}})
    "text was cleaned: label in 2 rows ('NA' → missing, 'mel ' → 'mel')"
    >>> describe_changes({"sex": {"changed": 2, "missing": 2, "examples": {"unknown": ""}}})
    ''
    """
    columns = []
    for name, found in changes.items():
        if name not in METADATA or found["changed"] > found["missing"]:
            shown = ", ".join(f"{old!r} → {repr(new) if new else 'missing'}" for old, new in found["examples"].items())
            columns.append(f"{name} in {quantity(found['changed'], 'row')} ({shown})")
    return f"text was cleaned: {'; '.join(columns)}" if columns else ""


def check_spellings(frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse columns in which two names differ only in case, separators or the decimals of a whole number.

    Raises:
        UserError: there are such names.
    """
    for column in columns:
        if column in frame and (pairs := two_spellings(frame[column].unique())):
            first, second = pairs[0]
            counts = frame[column].value_counts()
            raise UserError(
                f"column {column}: {first!r} ({quantity(counts[first], 'row')}) and {second!r} "
                f"({quantity(counts[second], 'row')}) seem to be "
                f"one name{f', and {len(pairs) - 1} more such pairs' if len(pairs) > 1 else ''}: "
                "write each name in one way in the table"
            )
