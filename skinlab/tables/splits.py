"""Choose the rows of a predictions table that are evaluated, by its columns ``split`` and ``fold``."""

from __future__ import annotations

import re
from typing import NamedTuple

import pandas as pd

from skinlab.errors import UserError
from skinlab.evaluation.evidence.form import TableFacts
from skinlab.tables.text_columns import clean_column, map_distinct
from skinlab.text import name_key, quantity

SPLITS = ("train", "val", "test", "pool", "held_out")  # held_out: a challenge's test part without labels
SPLIT_WORDS = {name_key(name): name for name in SPLITS} | {
    **dict.fromkeys(("training", "trn"), "train"),
    **dict.fromkeys(("valid", "validation", "validate", "dev", "development"), "val"),
    **dict.fromkeys(("testing", "tst"), "test"),
    **dict.fromkeys(("unlabeled", "unlabelled"), "pool"),
}

NAMES = ("train", "val", "test")
_FOLD = re.compile(r"(?:fold[ _-]?)?(-?\d+)(?:[.,]0+)?", re.IGNORECASE)


class ChosenRows(NamedTuple):
    """Rows of one split.

    Attributes:
        rows: to be evaluated, with numbers as folds.
        selection: the validation rows, if those of another split are evaluated.
        split: of the rows, None if the table has no other one.
        facts: the number of rows of each split that were left out or are for selection, if there are any.
        cautions: a sentence for everything that was left out or is doubtful.
    """

    rows: pd.DataFrame
    selection: pd.DataFrame
    split: str | None
    facts: TableFacts
    cautions: list[str]


def choose_rows(table: pd.DataFrame, wanted: str, place: str) -> ChosenRows:
    """Return the rows of one split: of the test part, or of the validation part if there is none.

    Args:
        table: with ``image_id``; of a table without ``split`` and ``fold`` all rows are returned.
        wanted: ``auto``, ``val`` or ``test``.
        place: the table's name in a message.

    Raises:
        UserError: there are no such rows, only training rows, or rows of several splits or folds without a choice.
    """
    if "split" not in table and "fold" not in table:
        return ChosenRows(table, table[:0], None, {}, [])
    table, splits = _with_splits(table)
    counts = {str(name): int(n) for name, n in splits.value_counts().items()}
    split = _choice(counts, wanted, place)
    rows, selection = table[splits == split], table[(splits == "val") & (split != "val")]
    rows, selection = rows.reset_index(drop=True), selection.reset_index(drop=True)
    cautions = _fold_cautions(rows, split, place)
    if len(counts) == 1:
        return ChosenRows(rows, selection, None, {}, cautions)
    left_out = {name: n for name, n in counts.items() if name not in (split, "val" if len(selection) else split)}
    facts: TableFacts = {"left_out": left_out} if left_out else {}
    sentence = (
        f"of {quantity(len(table), 'image')} of the table the {len(rows)} of split {split or 'unknown'} are evaluated"
    )
    if len(selection):
        facts["selection"] = {"val": len(selection)}
        sentence += f", thresholds are chosen on the {len(selection)} of val"
    if left_out:
        sentence += ", and left out are " + ", ".join(f"{n} of {name or 'no split'}" for name, n in left_out.items())
    return ChosenRows(rows, selection, split, facts, [f"{sentence}.", *cautions, *_shared(table, splits, split)])


def _with_splits(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series[str]]:
    """Return the table with numbers as folds, and the split of each row, "" if it is unknown."""
    fold = clean_column(table["fold"]) if "fold" in table else pd.Series("", index=table.index, dtype=str)
    splits = _standard(table["split"]) if "split" in table else pd.Series("", index=table.index, dtype=str)
    if (splits == "").all() and _standard(fold).isin(NAMES).any():  # a column fold that holds train, val, test
        fold, splits = splits, _standard(fold)
    numbers = fold.map({name: found[1] for name in fold.unique() if (found := _FOLD.fullmatch(name))})
    named = numbers.isna() & (fold != "")
    if named.any():  # such as A, B, C
        numbers = pd.Series(pd.factorize(fold, sort=True)[0], index=fold.index).where(fold != "")
    return table.assign(fold=numbers.fillna(-1).astype("int64")), splits


def _standard(column: pd.Series) -> pd.Series[str]:
    return map_distinct(clean_column(column), standard_split)


def _choice(counts: dict[str, int], wanted: str, place: str) -> str:
    """Return the split whose rows are evaluated."""
    listed = ", ".join(f"{name or 'no split'} ({n})" for name, n in counts.items())
    if wanted != "auto" and list(counts) != [""]:
        if wanted == "val" and wanted not in counts and "oof" in counts:  # the validation parts of all folds
            return "oof"
        if wanted not in counts:
            raise UserError(f"split={wanted}: {place} has no rows of it; its column split has {listed}")
        return wanted
    for name in ("test", "val"):
        if name in counts:
            return name
    others = [name for name in counts if name != "train"]
    if not others:
        raise UserError(
            f"{place}: {quantity(counts['train'], 'row', 'is')} of split train and none of another, the model's "
            "training images; give predictions of validation or test images"
        )
    if len(others) > 1:
        raise UserError(
            f"{place}: its column split has {listed}, which are not evaluated together; keep the rows of one, or name "
            "them train, val and test"
        )
    return others[0]


def _fold_cautions(rows: pd.DataFrame, split: str, place: str) -> list[str]:
    folds = sorted(set(rows["fold"]))
    if len(folds) < 2 or split in ("val", "oof"):
        return []
    if folds[0] == -1:
        n = int((rows["fold"] == -1).sum())
        raise UserError(
            f"{place}: {quantity(n, 'row', 'has')} no fold and the others have one, which are not evaluated together; "
            "keep those of one kind, or add a column split with train, val and test"
        )
    return [
        f"images of {len(folds)} folds are evaluated together, which is right only if the model that predicted an "
        "image was not trained on its fold."
    ]


def _shared(table: pd.DataFrame, splits: pd.Series[str], split: str) -> list[str]:
    """Return a caution if rows share a group with rows of another split of the same table."""
    if "group" not in table:
        return []
    others = set(table["group"][(splits != split) & (table["group"] != "")])
    n = int(table["group"][splits == split].isin(others).sum())
    return [f"{n} of the evaluated images share a group with images of another split of the table."] if n else []


def standard_split(word: str) -> str:
    """Return this project's name for a split; an unknown word stays as it is.

    >>> standard_split("Training"), standard_split("held-out"), standard_split("fold 3")
    ('train', 'held_out', 'fold 3')
    """
    return SPLIT_WORDS.get(name_key(word), word)
