"""Read the tables of runs: the rows of a split, and the validation predictions of a bundle's members."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skinlab.data.image_files import exists
from skinlab.errors import UserError, some, user_errors
from skinlab.evaluation.ensembles.alignment import align_rows
from skinlab.evaluation.predictions import COLUMNS, Predictions
from skinlab.tables.csv_files import read_csv
from skinlab.tables.image_hashes import with_image_hashes
from skinlab.tables.predictions import read_predictions
from skinlab.text import portion, printable, quantity


def read_split(run: Path, split: str, classes: Sequence[str]) -> tuple[str, pd.DataFrame]:
    """Return a split's name and rows, as the run's ``split.csv`` has them.

    Args:
        run: its directory.
        split: ``val``, ``test``, or ``auto`` for val.
        classes: of the run.

    Raises:
        UserError: there are no such rows, or labels or images are missing.
    """
    place = run / "split.csv"
    if not place.is_file():
        raise UserError(f"{run} has no split.csv, which lists the images of its splits; give a run of skinlab.train")
    table = read_csv(place, ["path", *COLUMNS])
    split = "val" if split == "auto" else split
    rows = table[table["split"] == split].reset_index(drop=True)
    if not len(rows):
        raise UserError(f"split={split}: {place} has no such rows; it has {', '.join(sorted(set(table['split'])))}")
    foreign = rows["image_id"][~rows["label"].isin(classes)]
    if len(foreign):
        raise UserError(
            f"{place}: {quantity(len(foreign), 'row')} of {split} without a label of the run's classes: {some(foreign)}"
        )
    check_files([*rows["path"]], str(place))
    return split, rows


def labelled_shares(run: Path, classes: Sequence[str]) -> list[float]:
    """Return the share of each class among the labelled images that are a run's own: those of train, val and test.

    Args:
        run: its directory, with a ``split.csv``.
        classes: of the run.
    """
    rows = read_csv(run / "split.csv", ["label", "split"])
    labels = rows["label"][rows["split"].isin(["train", "val", "test"])]
    known = labels[labels.isin(classes)]
    return [float((known == name).mean()) for name in classes]


def check_files(paths: Sequence[str], place: str) -> None:
    """Refuse the rows of a table whose images are missing.

    Raises:
        UserError: there are such rows.
    """
    gone = [printable(path) for path in paths if not exists(path)]
    if gone:
        raise UserError(
            f"{portion(len(gone), len(paths), f'image of {place}', 'is')} missing: {some(gone)}; put them back there"
        )


def validation_paths(places: Sequence[str]) -> list[Path]:
    """Return where the validation predictions of runs are."""
    return [Path(place).expanduser() / "predictions" / "val.csv" for place in places]


def read_validation(places: Sequence[str], n_members: int, classes: Sequence[str], setting: str) -> list[Predictions]:
    """Read the validation predictions of the runs of a bundle's members, their images in one order.

    Args:
        places: the runs.
        n_members: of the bundle.
        classes: of the bundle.
        setting: that needs the predictions, for messages.

    Raises:
        UserError: the runs have none, or not of the same images and classes.
    """
    paths = validation_paths(places)
    missing = [path for path in paths if not path.is_file()]
    if missing or len(places) != n_members:
        reason = f"there is no {missing[0]}" if missing else f"{places[0]} is an ensemble without those of its members"
        raise UserError(
            f"{setting} needs validation predictions, and {reason}; give runs, or a JSON file with what is needed"
        )
    with user_errors(f"{setting}: "):
        read = [with_image_hashes(read_predictions(path), path.parents[1] / "split.csv") for path in paths]
        tables = align_rows(read, [str(path) for path in paths])
    if tables[0].classes != classes:
        raise UserError(f"{setting}: {paths[0]} has other classes than its model; give an unchanged run")
    return tables
