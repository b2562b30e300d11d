"""The predictions table: one row an image, one probability a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.text import portion, quantity

COLUMNS = ("image_id", "group", "source", "fold", "split", "label")
PREFIX = "prob_"
FLOAT_FORMAT = "%.9g"  # of probabilities in a file: nine significant digits tell all float32 numbers apart (IEEE 754)
MAX_DECIMALS = 8  # a table of numbers with no more decimals is taken for rounded
MIN_PROBABILITY = float(np.finfo(np.float64).eps)  # in a logarithm, as in scikit-learn's log_loss
TOLERANCE = 1e-3  # of the sum of a row


@dataclass(frozen=True)
class Predictions:
    """Labelled predictions as arrays of N rows.

    Attributes:
        classes: C class names in the order of the probabilities.
        probabilities: ``(N, C)`` as the table has them; rows sum to one within its rounding.
        target: ``(N,)`` true class numbers.
        image_id: ``(N,)`` unique names.
        group: ``(N,)`` lesion, patient or whatever belongs together; the image itself where the table has none.
        source: ``(N,)`` acquisition site or device, empty where unknown.
        fold: ``(N,)``, -1 where unknown.
        path: ``(N,)`` file of each image, empty where unknown (everywhere by default).
        image_hash: ``(N,)`` hash of each image's pixels, likewise.
    """

    classes: list[str]
    probabilities: npt.NDArray[np.float64]
    target: npt.NDArray[np.int64]
    image_id: npt.NDArray[np.object_]
    group: npt.NDArray[np.object_]
    source: npt.NDArray[np.object_]
    fold: npt.NDArray[np.int64]
    path: npt.NDArray[np.object_] = field(default_factory=lambda: np.empty(0, object))
    image_hash: npt.NDArray[np.object_] = field(default_factory=lambda: np.empty(0, object))

    def __post_init__(self) -> None:
        for name in ("path", "image_hash"):
            if len(getattr(self, name)) != len(self):
                object.__setattr__(self, name, np.full(len(self), "", object))

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index: npt.NDArray[Any]) -> Predictions:
        """Return some rows: a mask, or numbers in the order wanted."""
        arrays = {each.name: getattr(self, each.name)[index] for each in fields(self) if each.name != "classes"}
        return Predictions(self.classes, **arrays)

    def with_probabilities(self, probabilities: npt.NDArray[np.float64]) -> Predictions:
        """Return the same rows with other probabilities."""
        return replace(self, probabilities=probabilities)

    def positive_last(self, positive: str) -> Predictions:
        """Return the same rows of two classes with the positive one last, where evaluation expects it."""
        if self.classes[-1] == positive:
            return self
        return replace(
            self,
            classes=self.classes[::-1],
            probabilities=self.probabilities[:, ::-1].copy(),
            target=np.where(self.target < 0, self.target, 1 - self.target),
        )

    def binary(self, positive: Sequence[str]) -> Predictions:
        """Return the view of some classes against the others, as the classes ``other`` and ``positive``.

        Raises:
            ValueError: an unknown class, or none or all of them.
        """
        check_positive(positive, self.classes)
        chosen = np.isin(self.classes, positive)
        share = np.clip(self.probabilities[:, chosen].sum(1), 0, 1)
        return replace(
            self,
            classes=["other", "positive"],
            probabilities=np.stack([1 - share, share], 1),
            target=chosen[self.target].astype(np.int64),
        )


def check_positive(positive: Sequence[str], classes: Sequence[str]) -> None:
    """Raise ValueError where positive classes are none or all of some classes, or unknown."""
    if unknown := [name for name in positive if name not in classes]:
        raise ValueError(
            f"positive={','.join(positive)}: {unknown[0]} is no class of {', '.join(classes)}; name some of them"
        )
    if not set() < set(positive) < set(classes):
        raise ValueError(f"positive={','.join(positive)}: name some, not all, of the classes {', '.join(classes)}")


def check_target(probabilities: npt.NDArray[np.float64], target: npt.NDArray[np.int64]) -> None:
    """Check that each row has one known class.

    Args:
        probabilities: ``(N, C)``, or ``(M, N, C)`` of several members.
        target: ``(N,)`` true class numbers.

    Raises:
        ValueError: no rows, other numbers of rows, or a row without a label.
    """
    n, c = probabilities.shape[-2:]
    if n == 0 or target.shape != (n,):
        raise ValueError(
            f"{quantity(n, 'row')} of probabilities and {quantity(len(target), 'label')}: give one "
            "label a row, one row at least"
        )
    outside = (target < 0) | (target >= c)
    if outside.any():
        first = (
            f"{portion(outside.sum(), n, 'row', 'has')} no label among the {c} classes, first row {outside.argmax()}"
        )
        raise ValueError(f"{first}: leave rows without a label out")


def to_predictions(table: pd.DataFrame, place: str) -> Predictions:
    """Check a table of predictions and return it as arrays.

    Args:
        table: N rows with ``image_id``, ``label`` and a column ``prob_<class>`` a class, numbers or their text; without
            ``group`` (or where it is empty) an image is a group of its own; ``source``, ``fold``,
            ``path`` and ``image_hash`` may be missing.
        place: the table's name in a message.

    Raises:
        ValueError: what is wrong with it, where, and what to do.

    >>> rows = pd.DataFrame({"image_id": ["a"], "label": "mel", "prob_nv": 0.25, "prob_mel": 0.75})
    >>> to_predictions(rows, "p.csv").target
    array([1])
    """
    classes = table_classes(table)
    if len(classes) < 2:
        raise ValueError(
            f"{place} has no columns {PREFIX}<class> for two classes or more (found {', '.join(table.columns[:8])})"
        )
    for name in ("image_id", "label"):
        if name not in table:
            raise ValueError(f"{place} has no column {name} (found {', '.join(table.columns[:8])})")
    label = table["label"].fillna("").astype(str)
    unknown = label[~label.isin([*classes, ""])]
    if len(unknown):
        image = table.loc[unknown.index[0], "image_id"]
        raise ValueError(
            f"{place}: label {unknown.iloc[0]!r} of image {image} is none of its classes {', '.join(classes)}"
        )
    if (label == "").any():
        image = table["image_id"].iloc[int((label == "").argmax())]
        raise ValueError(
            f"{place}: {portion((label == '').sum(), len(table), 'row', 'has')} no label (first: image {image}); drop "
            "those rows or give their labels: labels=FILE.csv"
        )
    image_id = table["image_id"].to_numpy(object)
    group = table["group"].replace("", np.nan).fillna(table["image_id"]) if "group" in table else table["image_id"]
    source, path, image_hash = (
        table[name].fillna("").to_numpy(object) if name in table else np.full(len(table), "", object)
        for name in ("source", "path", "image_hash")
    )
    fold = pd.to_numeric(table["fold"], errors="coerce").fillna(-1) if "fold" in table else np.full(len(table), -1)
    return Predictions(
        classes=classes,
        probabilities=_probabilities(table, place),
        target=label.map({name: i for i, name in enumerate(classes)}).to_numpy().astype(np.int64),
        image_id=image_id,
        group=group.to_numpy(object),
        source=source,
        fold=np.asarray(fold).astype(np.int64),
        path=path,
        image_hash=image_hash,
    )


def decimals(values: npt.NDArray[np.float64]) -> int | None:
    """Return to how many decimals, eight at most, all values are rounded; None if to more.

    >>> decimals(np.array([0.25, 0.5])), decimals(np.array([1.0, 0.0])), decimals(np.array([1 / 3]))
    (2, 0, None)
    """
    units = ((n, values * 10**n) for n in range(MAX_DECIMALS + 1))
    return next((n for n, unit in units if (np.abs(unit - np.round(unit)) < 1e-6).all()), None)


def probability_floor(probabilities: npt.NDArray[np.float64]) -> float:
    """Return what a smaller probability counts as in a logarithm.

    In a table rounded to d decimals a zero says "below half a unit of the last decimal" and counts as ``0.5 * 10**-d``.
    In all others, and in tables of nothing but 0 and 1, the floor is that of scikit-learn's ``log_loss``, 2.2e-16.

    >>> probability_floor(np.array([0.0, 0.25, 0.75])), probability_floor(np.array([0.0, 1 / 3, 2 / 3]))
    (0.005, 2.220446049250313e-16)
    """
    rounded = decimals(probabilities)
    return 0.5 * 10.0**-rounded if rounded else MIN_PROBABILITY


def as_written(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return probabilities as they are read back from a file: with nine significant digits.

    >>> as_written(np.array([1 / 3]))
    array([0.33333333])
    """
    text = (FLOAT_FORMAT % value for value in probabilities.ravel().tolist())
    return np.fromiter(map(float, text), np.float64, probabilities.size).reshape(probabilities.shape)


def _probabilities(table: pd.DataFrame, place: str) -> npt.NDArray[np.float64]:
    """Return the probabilities as they stand in the table, ``(N, C)``; refuse rows that don't sum to one."""
    columns = [PREFIX + name for name in table_classes(table)]
    values: npt.NDArray[np.float64] = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    finite = np.isfinite(values).all(1)
    if not finite.all():
        image = table["image_id"].iloc[int((~finite).argmax())]
        raise ValueError(
            f"{place}: image {image} has a probability that is no number; give a number in each of {', '.join(columns)}"
        )
    rounded = decimals(values)  # to 2 or 3, C probabilities may miss one by C half units of the last decimal
    tolerance = max(TOLERANCE, len(columns) / 2 * 10.0**-rounded + 1e-9 if rounded in (2, 3) else 0)
    wrong = (values < 0).any(1) | (np.abs(values.sum(1) - 1) > tolerance)
    if wrong.any():
        row = int(wrong.argmax())
        image, found = table["image_id"].iloc[row], np.round(values[row], 4).tolist()
        raise ValueError(
            f"{place}: the probabilities of image {image} are {found} ({', '.join(columns)}) and don't sum to one; "
            "write a softmax, not logits or scores"
        )
    return values


def predictions_table(
    rows: pd.DataFrame, probabilities: npt.NDArray[np.floating], classes: Sequence[str]
) -> pd.DataFrame:
    """Join rows of a manifest with their probabilities, the images' paths last.

    Args:
        rows: N rows with the manifest's columns; ``path`` may be missing.
        probabilities: ``(N, C)`` in the order of the rows.
        classes: C class names.

    Raises:
        ValueError: the numbers of rows or classes don't agree.
    """
    if probabilities.shape != (len(rows), len(classes)):
        raise ValueError(f"probabilities {probabilities.shape} for {len(rows)} rows and {len(classes)} classes")
    table = rows[list(COLUMNS)].reset_index(drop=True)
    table = table.join(pd.DataFrame(probabilities, columns=[PREFIX + name for name in classes]))
    return table.assign(path=rows["path"].to_numpy()) if "path" in rows else table


def table_classes(table: pd.DataFrame) -> list[str]:
    """Return the class names of a predictions table, in its order."""
    return [name.removeprefix(PREFIX) for name in table.columns if name.startswith(PREFIX)]


def table_arrays(table: pd.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], list[str]]:
    """Return probabilities ``(N, C)``, true class numbers ``(N,)`` (-1 where there is no label) and class names."""
    classes = table_classes(table)
    number = {name: i for i, name in enumerate(classes)}
    target = table["label"].map(number).fillna(-1).to_numpy().astype(np.int64)
    return table[[PREFIX + name for name in classes]].to_numpy().astype(np.float64), target, classes
