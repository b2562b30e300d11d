"""The predictions table: one row an image, one probability a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

COLUMNS = ("image_id", "group", "source", "fold", "split", "label")
PREFIX = "prob_"


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
