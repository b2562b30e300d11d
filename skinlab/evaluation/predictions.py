"""The predictions table: one row an image, one probability a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

COLUMNS = ("image_id", "group", "source", "fold", "split", "label")
PREFIX = "prob_"
DECIMALS = "%.6f"  # of probabilities in a file
TOLERANCE = 1e-3  # of a row's sum: tables of three decimals pass


@dataclass(frozen=True)
class Predictions:
    """Labelled predictions as arrays of N rows.

    Attributes:
        classes: C class names in the order of the probabilities.
        probabilities: ``(N, C)``, rows sum to one.
        target: ``(N,)`` true class numbers.
        image_id: ``(N,)`` unique names.
        group: ``(N,)`` lesion, patient or whatever belongs together; the image itself where the table has none.
        source: ``(N,)`` acquisition site or device, empty where unknown.
        fold: ``(N,)``, -1 where unknown.
    """

    classes: list[str]
    probabilities: npt.NDArray[np.float64]
    target: npt.NDArray[np.int64]
    image_id: npt.NDArray[np.object_]
    group: npt.NDArray[np.object_]
    source: npt.NDArray[np.object_]
    fold: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index: npt.NDArray[Any]) -> Predictions:
        """Return some rows: a mask, or numbers in the order wanted."""
        arrays = {each.name: getattr(self, each.name)[index] for each in fields(self) if each.name != "classes"}
        return Predictions(self.classes, **arrays)

    def with_probabilities(self, probabilities: npt.NDArray[np.float64]) -> Predictions:
        """Return the same rows with other probabilities."""
        others = {each.name: getattr(self, each.name) for each in fields(self)}
        return Predictions(**others | {"probabilities": probabilities})

    def binary(self, positive: Sequence[str]) -> Predictions:
        """Return the view of some classes against the others, as the classes ``other`` and ``positive``.

        Raises:
            ValueError: an unknown class, or none or all of them.
        """
        unknown = [name for name in positive if name not in self.classes]
        if unknown or not positive or len(set(positive)) == len(self.classes):
            raise ValueError(
                f"positive={','.join(positive)}: name some, not all, of the classes {', '.join(self.classes)}"
            )
        chosen = np.isin(self.classes, positive)
        share = np.clip(self.probabilities[:, chosen].sum(1), 0, 1)
        others = {each.name: getattr(self, each.name) for each in fields(self)}
        view = {
            "classes": ["other", "positive"],
            "probabilities": np.stack([1 - share, share], 1),
            "target": chosen[self.target].astype(np.int64),
        }
        return Predictions(**others | view)


def read_predictions(path: Path, *, labels: Path | None = None, require_labels: bool = True) -> Predictions:
    """Read and check a predictions table, ours or anyone's.

    Wanted are ``image_id`` and one ``prob_<class>`` a class; ``label`` may come from another table. ``group``,
    ``source`` and ``fold`` may be missing.

    Args:
        path: CSV file.
        labels: CSV with ``image_id`` and ``label``, and ``group`` and ``source`` if there are any.
        require_labels: whether every row needs a known label; without one the target is -1.

    Raises:
        ValueError: what is wrong with it, where, and what to do.
    """
    table = _read(path, ("image_id",))
    classes = table_classes(table)
    if len(classes) < 2:
        found = ", ".join(map(str, table.columns[:8]))
        raise ValueError(f"{path} has no columns {PREFIX}<class> for two classes or more (found {found})")
    if labels is not None:
        table = _join_labels(table, path, labels)
    if "label" not in table:
        raise ValueError(f"{path} has no column label; give the labels in a table of their own: labels=FILE.csv")
    _check_probabilities(table, classes, path)
    label = table["label"].fillna("").astype(str)
    unknown = label[~label.isin(classes) & (label != "")]
    if len(unknown):
        image = table.loc[unknown.index[0], "image_id"]
        raise ValueError(
            f"{path}: label {unknown.iloc[0]!r} of image {image} is none of its classes {', '.join(classes)}"
        )
    if require_labels and (label == "").any():
        image = table["image_id"].iloc[int((label == "").argmax())]
        raise ValueError(
            f"{path}: {(label == '').sum()} of {len(table)} rows have no label (first: image {image}); drop those "
            "rows or give their labels: labels=FILE.csv"
        )
    probabilities, target, _ = table_arrays(table.assign(label=label))
    image_id = table["image_id"].to_numpy(object)
    source = table["source"].fillna("").to_numpy(object) if "source" in table else np.full(len(table), "", object)
    fold = pd.to_numeric(table["fold"], errors="coerce").fillna(-1) if "fold" in table else np.full(len(table), -1)
    return Predictions(
        classes=classes,
        probabilities=probabilities / probabilities.sum(1, keepdims=True),
        target=target,
        image_id=image_id,
        group=table["group"].fillna(table["image_id"]).to_numpy(object) if "group" in table else image_id,
        source=source,
        fold=np.asarray(fold).astype(np.int64),
    )


def _read(path: Path, wanted: Sequence[str]) -> pd.DataFrame:
    text = dict.fromkeys(("image_id", "label", "group", "source"), str)
    try:
        table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; give a predictions table or a run directory") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path} can't be read as a CSV ({str(error).splitlines()[0]})") from None
    missing = [name for name in wanted if name not in table]
    if missing:
        found = ", ".join(map(str, table.columns[:8]))
        raise ValueError(f"{path} has no column {missing[0]} (found {found}); rename the one that is meant")
    if not len(table):
        raise ValueError(f"{path} has no rows; is it the right file?")
    if table["image_id"].isna().any():
        raise ValueError(f"{path}: row {table['image_id'].isna().argmax() + 2} has no image_id; mend or drop it")
    repeats = table["image_id"][table["image_id"].duplicated()]
    if len(repeats):
        raise ValueError(f"{path}: image {repeats.iloc[0]} has several rows; keep one (of {len(repeats)} doubled)")
    return table


def _join_labels(table: pd.DataFrame, path: Path, labels: Path) -> pd.DataFrame:
    """Take label, and group and source where there are any, from another table."""
    truth = _read(labels, ("image_id", "label"))
    lacking = ~table["image_id"].isin(truth["image_id"])
    if lacking.any():
        image = table["image_id"].iloc[int(lacking.argmax())]
        raise ValueError(f"labels={labels} lacks {lacking.sum()} of {len(table)} images of {path} (first: {image})")
    known = [name for name in ("label", "group", "source") if name in truth]
    return table.drop(columns=known, errors="ignore").merge(truth[["image_id", *known]], on="image_id")


def _check_probabilities(table: pd.DataFrame, classes: Sequence[str], path: Path) -> None:
    columns = [PREFIX + name for name in classes]
    values = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    finite = np.isfinite(values).all(1)
    if not finite.all():
        raise ValueError(f"{path}: image {table['image_id'][(~finite).argmax()]} has a probability that is no number")
    if (values < 0).any() or (np.abs(values.sum(1) - 1) > TOLERANCE).any():
        bad = int(((values < 0).any(1) | (np.abs(values.sum(1) - 1) > TOLERANCE)).argmax())
        raise ValueError(
            f"{path}: the probabilities of image {table['image_id'][bad]} are {np.round(values[bad], 4).tolist()} and "
            "don't sum to one; write a softmax, not logits or scores"
        )
    table[columns] = values


def predictions_table(
    rows: pd.DataFrame, probabilities: npt.NDArray[np.floating], classes: Sequence[str]
) -> pd.DataFrame:
    """Join rows of a manifest with their probabilities.

    Args:
        rows: N rows with the manifest's columns.
        probabilities: ``(N, C)`` in the order of the rows.
        classes: C class names.

    Raises:
        ValueError: the numbers of rows or classes don't agree.
    """
    if probabilities.shape != (len(rows), len(classes)):
        raise ValueError(f"probabilities {probabilities.shape} for {len(rows)} rows and {len(classes)} classes")
    table = rows[list(COLUMNS)].reset_index(drop=True)
    return table.join(pd.DataFrame(probabilities, columns=[PREFIX + name for name in classes]))


def table_classes(table: pd.DataFrame) -> list[str]:
    """Return the class names of a predictions table, in its order."""
    return [name.removeprefix(PREFIX) for name in table.columns if name.startswith(PREFIX)]


def table_arrays(table: pd.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], list[str]]:
    """Return probabilities ``(N, C)``, true class numbers ``(N,)`` (-1 where there is no label) and class names."""
    classes = table_classes(table)
    number = {name: i for i, name in enumerate(classes)}
    target = table["label"].map(number).fillna(-1).to_numpy().astype(np.int64)
    return table[[PREFIX + name for name in classes]].to_numpy().astype(np.float64), target, classes
