"""Rename the images and classes of one system as in another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skinlab.evaluation.predictions import Predictions
from skinlab.tables.image_ids import match_ids
from skinlab.text import match_names


def with_names_of(first: Sequence[Predictions], tables: Sequence[Predictions]) -> list[Predictions]:
    """Return tables with the image ids, the class names and the order of the classes of other tables.

    Folder and suffix of an id, and case and separators of a class, may differ. An id or class without a counterpart, or
    with several, keeps its name.

    Args:
        first: tables with the names to use.
        tables: of another system.
    """
    ids = [str(image) for table in first for image in table.image_id]
    return [_with_classes(_with_ids(table, ids), first[0].classes) for table in tables]


def _with_ids(table: Predictions, ids: Sequence[str]) -> Predictions:
    own = [str(image) for image in table.image_id]
    found = [name or image for name, image in zip(match_ids(own, ids).known, own, strict=True)]
    if found == own or len(set(found)) < len(found):
        return table
    group = np.where(table.group == table.image_id, found, table.group)  # an image without a group is its own
    return replace(table, image_id=np.array(found, object), group=group.astype(object))


def _with_classes(table: Predictions, classes: Sequence[str]) -> Predictions:
    found = match_names(table.classes, classes)
    order = [name for name in classes for each in table.classes if found.get(each) == name]
    if order != list(classes) or len(table.classes) != len(classes):
        return table
    place = [[found[name] for name in table.classes].index(name) for name in classes]
    return replace(
        table,
        classes=list(classes),
        probabilities=table.probabilities[:, place],
        target=np.argsort(place)[table.target],
    )
