"""Recognise the columns of a table of predictions or labels by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from skinlab.errors import UserError, nearest, some
from skinlab.evaluation.predictions import COLUMNS, PREFIX
from skinlab.tables.csv_files import numbers
from skinlab.tables.label_hints import counted, suggested_map
from skinlab.tables.names import IMAGE_ID_NAMES, UNIT_NAMES, names_as_list
from skinlab.tables.positive import known_positive
from skinlab.text import clean, is_missing, match_names, name_key, portion, two_spellings

LABEL_NAMES = ("label", "dx", "true_label", "y_true", "ground_truth", "truth")
# A single column of probabilities of the class 1; target in ISIC 2020 and 2024.
SCORE_NAMES = ("target", "score", "prob", "probability", "prediction", "pred", "y_score", "y_prob", "p")
# Columns that are no classes, in tables whose probabilities have the bare names of their classes.
OTHER_NAMES = (
    *COLUMNS,
    *IMAGE_ID_NAMES,
    *LABEL_NAMES,
    "gate",
    "called",
    "set",
    "age",
    "age_approx",
    "sex",
    "index",
    "image_hash",
    *(name for names in UNIT_NAMES.values() for name in names),
)
_WORD = "prob|probs|proba|probability|p|score|softmax|confidence"
_FORMS = (
    re.compile(rf"(?:{_WORD})[_ .:-]+(.+)", re.IGNORECASE),
    re.compile(rf"(.+?)[_ .:-]+(?:{_WORD})", re.IGNORECASE),
)
MISTYPED = 0.05  # share of numbers outside 0 to 100 up to which a column is of percentages with mistakes in it


def probability_columns(table: pd.DataFrame) -> dict[str, str]:
    """Return the columns of probabilities and the class of each; ``1`` for a single one without a class in its name.

    In this order: ``prob_mel``; ``p_mel``, ``mel_prob`` and the like; the bare names of the classes, as in ISIC's
    submissions; ``target`` or ``score`` alone.

    >>> probability_columns(pd.DataFrame({"image": ["a"], "MEL": "0.25", "NV": "0.75"}))
    {'MEL': 'MEL', 'NV': 'NV'}
    """
    ours = {name: clean(name.removeprefix(PREFIX)) for name in table.columns if name.startswith(PREFIX)}
    if ours:
        return ours
    free = _free_columns(table)
    forms = [{name: clean(found[1]) for name in free if (found := form.fullmatch(name))} for form in _FORMS]
    written = max(forms, key=len)
    if len(written) > 1:
        return written
    bare = {name: name for name in free if numbers(table[name]).notna().all()}
    scores = {name: "1" for name in bare if name_key(name) in set(map(name_key, SCORE_NAMES))}
    return bare if len(bare) > 1 and not scores else written or scores or bare


def with_probabilities(
    table: pd.DataFrame,
    found: Mapping[str, str],
    place: str,
    labels: Mapping[str, int] | None = None,
    label_map: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Return a table with a numeric column ``prob_<class>`` for each class, and a sentence for each change.

    Args:
        table: as read.
        found: result of :func:`probability_columns`.
        place: the table's name in a message.
        labels: of its rows, after the map, with their numbers; for a single column of probabilities one of them is the
            other class.
        label_map: the map so far, for a hint.

    Raises:
        UserError: there is no such column, two are of one class, or the other class of a single one is unknown.
    """
    if not found:
        raise UserError(
            f"{place} has no columns {PREFIX}<class> (found {some(table.columns, 9)}); give a column of "
            "probabilities for each class"
        )
    if pairs := two_spellings(found.values()):
        raise UserError(f"{place} has two columns of one class: {' and '.join(pairs[0])}; keep one of them")
    values = {name: numbers(table[column]) for column, name in found.items()}
    notes = []
    if len(values) == 1:
        ((positive, share),) = values.items()
        column = next(iter(found))
        if _is_percentage(share, column):
            share, notes = share / 100, ["its percentages were divided by 100"]
        values = _two_classes(positive, share, labels or {}, label_map or {}, f"{place}, column {column}")
    frame = pd.DataFrame({PREFIX + name: each for name, each in values.items()}, index=table.index)
    if _are_percentages(frame.to_numpy()):
        frame, notes = frame / 100, ["its percentages were divided by 100"]
    kept = table.drop(columns=[*found, *(name for name in frame if name in table)], errors="ignore")
    return kept.join(frame), notes


def _two_classes(
    positive: str, share: pd.Series, labels: Mapping[str, int], label_map: Mapping[str, str], place: str
) -> dict[str, pd.Series]:
    """Return the probabilities of both classes from those of one."""
    labels = {name: n for name, n in labels.items() if not is_missing(name)}
    others = {name_key(name): name for name in sorted(labels) if name_key(name) != name_key(positive)}
    if len(others) != 1:
        other = "0" if positive == "1" else "benign" if name_key(positive).startswith("malig") else "other"
        remedy = f", as in {suggested_map(labels, [other, positive], label_map)}" if others else ""
        raise UserError(
            f"{place}, holds the probability of one class, {positive}; the labels are {counted(labels) or 'missing'}: "
            f"rename them to {positive} and one other{remedy}; or give a column of probabilities for each class"
        )
    known = share.dropna()
    if len(known) and set(known) <= {0, 1}:
        raise UserError(f"{place}, holds predicted classes, all of them 0 or 1; give probabilities")
    wrong = known[(known < 0) | (known > 1)]
    beyond = known[(known < 0) | (known > 100)]
    if known.median() > 1 and 0 < len(beyond) <= MISTYPED * len(known):
        raise UserError(
            f"{place}, holds {beyond.iloc[0]:g}, which is no percentage ({portion(len(beyond), len(known), 'row')}); "
            "correct them"
        )
    if len(wrong):
        raise UserError(
            f"{place}, holds {wrong.iloc[0]:g}, which is no probability; give numbers from 0 to 1 (of a network the "
            "softmax, not scores), or percentages with a sign, as in 4.5 %"
        )
    return {("0" if "0" in others else next(iter(others.values()))): 1 - share, positive: share}


def _is_percentage(share: pd.Series, column: str) -> bool:
    """Return whether a single column is in percent: from 0 to 100, and no other scale, such as 0 to 5, is likely."""
    named = "%" in column or "percent" in column.lower()
    known = share.dropna()
    return bool(known.between(0, 100).all() and known.max() > (1 if named else 20))


def _are_percentages(values: np.ndarray) -> bool:
    sums = values.sum(1)
    return bool(np.isfinite(sums).all() and (values >= 0).all() and (np.abs(sums - 100) <= values.shape[1] / 2).all())


def check_named(found: Mapping[str, str], labels: Mapping[str, int], place: str) -> None:
    """Refuse columns that would be those of classes by their names alone, where no label is such a class.

    Args:
        found: result of :func:`probability_columns`.
        labels: of the rows, after the map, with their numbers.
        place: the table's name in a message.
    """
    labels = {name: n for name, n in labels.items() if not is_missing(name)}
    bare = [column for column, name in found.items() if column == name]
    if not bare or not labels or match_names(labels, bare) or any(known_positive([name, "-"]) == name for name in bare):
        return
    remedy = f'as in columns.prob={{CLASS: "{bare[-1]}"}}'
    found_labels = f"the labels are {counted(labels)}"
    if len(bare) == 1:
        raise UserError(
            f"{place}, column {bare[0]}: of which class its probabilities are can't be known ({found_labels}); name it"
            f", {remedy}"
        )
    raise UserError(
        f"{place}: the columns of numbers {some(bare, 9)} are no names of labels ({found_labels}); name those with "
        f"probabilities and their classes, {remedy}"
    )


def of_named_classes(found: Mapping[str, str], wanted: Mapping[str, Sequence[str]], place: str) -> dict[str, str]:
    """Return the columns of probabilities, and their classes, of a table without those that ``columns.prob`` names.

    They are those with the names of the classes, or for one class a single column of scores.

    Args:
        found: result of :func:`probability_columns`.
        wanted: class → columns, as set.
        place: the table's name in a message.

    Raises:
        UserError: there are none.

    >>> of_named_classes({"score": "1"}, {"malignant": ["risk (%)"]}, "b.csv")
    {'score': 'malignant'}
    """
    if found and all(column.startswith(PREFIX) for column in found):
        return dict(found)
    own = {name: of for of, name in match_names(wanted, found.values()).items()}
    if set(own.values()) == set(wanted):
        return {column: own[name] for column, name in found.items() if name in own}
    if len(wanted) == len(found) == 1:
        ((column, name),), (of,) = found.items(), wanted
        if name == "1" or (name != column and known_positive([name, "-"]) == name and known_positive([of, "-"]) == of):
            return {column: of}
    names = ", ".join(f"{name}: {names_as_list([*columns, 'NAME'])}" for name, columns in wanted.items())
    columns = [name for each in wanted.values() for name in each]
    raise UserError(
        f"{place} has neither {some(columns)} nor other columns for {some(wanted)}"
        f"{f' (it has {some(found, 9)})' if found else ''}; name its own, too: 'columns.prob={{{names}}}'"
    )


def as_classes(
    labels: pd.Series[str],
    classes: Iterable[str],
    label_map: Mapping[str, str],
    place: str,
    rows: Mapping[str, int] | None = None,
) -> pd.Series[str]:
    """Return the class of which each label is a spelling, after the map; "" for a missing label.

    Args:
        labels: by image id.
        classes: all that a label may be.
        label_map: old label → new one.
        place: the table's name in a message.
        rows: image id → row of the file, for a message.

    Raises:
        UserError: a label is no class.

    >>> as_classes(pd.Series(["Mel ", "0.0", "NA"]), ["mel", "nv"], {"0": "nv"}, "p.csv").tolist()
    ['mel', 'nv', '']
    """
    classes = list(classes)
    names = renamed(labels, label_map)
    known = match_names(names.values(), classes)
    wrong = {old: int((labels == old).sum()) for old, new in names.items() if new not in known and not is_missing(new)}
    if wrong:
        old = next(iter(wrong))
        image, more = str(labels.index[labels == old][0]), {name: n for name, n in wrong.items() if name != old}
        where = f"image {image}" + (f" (row {rows[image]}; {portion(wrong[old], len(labels), 'row')})" if rows else "")
        others = f", nor are {counted(more)}" if more else ""
        raise UserError(
            f"{place}: label {names[old]!r} of {where} is none of its classes {', '.join(classes)}"
            f"{nearest(names[old], classes)}{others}; rename {'them' if more else 'it'}: "
            f"{suggested_map(wrong, classes, label_map)}"
        )
    return labels.map({old: known.get(new, "") for old, new in names.items()})


def renamed(labels: pd.Series, label_map: Mapping[str, str]) -> dict[str, str]:
    """Return each distinct label with its new name by the map, its own if the map has no spelling of it."""
    distinct = [str(name) for name in labels.unique()]
    known = match_names(distinct, label_map)
    return {name: label_map[known[name]] if name in known else clean(name) for name in distinct}


def unmatched(label_map: Mapping[str, str], labels: Iterable[str]) -> list[str]:
    """Return the old labels of a map of which no label is a spelling.

    >>> unmatched({"Mel": "malignant", "nevus": "benign"}, ["mel", "nv"])
    ['nevus']
    """
    matched = set(match_names(labels, label_map).values())
    return [old for old in label_map if old not in matched]


def _free_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that may be those of classes."""
    taken = set(map(name_key, OTHER_NAMES))
    return [name for name in table.columns if name and name_key(name) not in taken]
