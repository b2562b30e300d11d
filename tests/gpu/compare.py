"""Compare two tables of predictions of the same images: ``python -m tests.gpu.compare FIRST SECOND``."""

from __future__ import annotations

import sys

import pandas as pd

TOLERANCE = 0.01  # of a probability, since convolutions on a GPU may differ from run to run


def largest_difference(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Return the largest difference of a probability.

    Raises:
        ValueError: the tables have other images, or in another order.
    """
    if list(first["image_id"]) != list(second["image_id"]):
        raise ValueError("the tables are of different images")
    columns = [name for name in first if name.startswith("prob_")]
    return float((first[columns] - second[columns]).abs().to_numpy().max())


if __name__ == "__main__":
    difference = largest_difference(*map(pd.read_csv, sys.argv[1:]))
    print(f"largest difference of a probability: {difference:.1e} (at most {TOLERANCE})")
    sys.exit(not difference <= TOLERANCE)
