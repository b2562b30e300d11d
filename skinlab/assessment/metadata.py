"""Collect what is known of images beside their predictions, for subgroups and units of analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skinlab.assessment.systems import System
from skinlab.errors import UserError
from skinlab.evaluation.predictions import Predictions
from skinlab.tables.labels import join_ids
from skinlab.tables.metadata import read_metadata
from skinlab.tables.names import ColumnNames
from skinlab.text import quantity


def collect_metadata(
    systems: Sequence[System], columns: ColumnNames, metadata: str | None = None, labels: str | None = None
) -> pd.DataFrame:
    """Return a row of text for each row of the first system's predictions, empty where nothing is known.

    A value is taken from the first table that has one: ``metadata=``, ``labels=``, the runs' ``split.csv``, the
    predictions tables.

    Args:
        systems: aligned.
        columns: this project's name → the tables', in tables that are no run's.
        metadata: a table with a row an image.
        labels: the table of labels, which often has the age and the sex, too.

    Raises:
        UserError: a table can't be read, ``metadata`` names none of the images, or several ids may be one image.
    """
    rows = systems[0].tables[0]
    places = [
        (f"{name}={path}", Path(path).expanduser())
        for name, path in (("metadata", metadata), ("labels", labels))
        if path
    ]
    tables = [(place, read_metadata(path, columns, place)) for place, path in places]
    runs = {run.path for system in systems for run in system.runs}
    files = [path for path in (run / "split.csv" for run in sorted(runs)) if path.is_file()]
    tables += [(str(path), read_metadata(path, {}, str(path))) for path in files]
    own = {source["path"] for system in systems if not system.runs for source in system.sources}
    tables += [(path, read_metadata(Path(path), columns, path)) for path in sorted(own) if Path(path).is_file()]
    found = pd.DataFrame(index=range(len(rows)))
    for place, table in tables:
        joined = _joined(rows, table, place, needed=place.startswith("metadata="))
        for name in joined:
            found[name] = joined[name] if name not in found else found[name].where(found[name] != "", joined[name])
    return found


def _joined(rows: Predictions, table: pd.DataFrame, place: str, *, needed: bool) -> pd.DataFrame:
    """Return the rows of a table in the order of the predictions."""
    ids = pd.Series([str(image) for image in rows.image_id])
    known = join_ids(ids, table.index.tolist(), place)
    if needed and (known == "").all():
        raise UserError(
            f"{place} names none of {quantity(len(ids), 'image')}: its ids are such as {table.index[0]}, those of the "
            f"predictions such as {ids.iloc[0]}; give a table of these images"
        )
    return table.reindex(known).fillna("").reset_index(drop=True)
