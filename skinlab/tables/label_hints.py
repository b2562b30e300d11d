"""Say which labels are no classes, and how they may be renamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skinlab.tables.positive import MELANOMA, NEGATIVE, known_positive
from skinlab.text import name_key

MOST_LABELS = 20  # that a message lists
PLACEHOLDER = "CLASS"


def counted(labels: Mapping[str, int]) -> str:
    """Return labels with their numbers of rows, the most frequent first.

    >>> counted({"BCC": 3, "nevus": 40})
    'nevus (40), BCC (3)'
    """
    ordered = sorted(labels.items(), key=lambda each: -each[1])
    more = len(ordered) - MOST_LABELS
    shown = [f"{name} ({n})" for name, n in ordered[:MOST_LABELS]]
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def suggested_map(labels: Mapping[str, int], classes: Sequence[str], known: Mapping[str, str]) -> str:
    """Return a setting ``label_map`` that renames labels to classes, a placeholder where the class can't be known.

    Only what is benign by any name, and melanoma where the other class is benign, is known: whether another cancer
    counts as positive depends on what the probabilities were made for.

    Args:
        labels: name → number of rows.
        classes: all that a label may be.
        known: the map so far.

    >>> suggested_map({"nevus": 40, "melanoma": 12, "BCC": 3}, ["benign", "malignant"], {})
    'label_map={nevus: benign, melanoma: malignant, BCC: CLASS}'
    """
    ordered = sorted(labels, key=lambda name: -labels[name])
    pairs = dict(known) | {
        name: _class_of(name, classes) for name in ordered if name not in (*classes, *known.values())
    }
    return f"label_map={{{', '.join(f'{old}: {new}' for old, new in pairs.items())}}}"


def _class_of(label: str, classes: Sequence[str]) -> str:
    positive = known_positive(classes) if len(classes) == 2 else None
    if positive is None:
        return PLACEHOLDER
    key, (negative,) = _key(label), [name for name in classes if name != positive]
    if key in NEGATIVE.split():
        return negative
    melanoma = key in MELANOMA.split() and _key(positive) in (*MELANOMA.split(), "malignant", "1", "positive", "cancer")
    return positive if melanoma else PLACEHOLDER


def _key(name: str) -> str:
    return name_key(name).replace(" ", "")
