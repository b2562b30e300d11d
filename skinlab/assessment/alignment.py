"""Bring the images of systems into one order and one grouping, and leave out those that not all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skinlab.assessment.systems import System
from skinlab.errors import some
from skinlab.evaluation.ensembles.alignment import one_order
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.grouping import same_grouping, share_groups
from skinlab.tables.positive import positive_class
from skinlab.tables.same_names import with_names_of
from skinlab.text import quantity


def align(
    systems: Sequence[System], positive: Sequence[str] | None = None, *, common: bool | None = None
) -> list[System]:
    """Bring the rows of all systems into the order of the first and one grouping; of two classes the positive is last.

    Args:
        systems: as :func:`find_systems` gave them.
        positive: the positive classes that the user names; of two classes the runs or the names tell, if left out.
        common: whether images that not every system has are left out; None where that can't be set.

    Raises:
        ValueError: they are predictions of other rows, other classes or other labels, their groups contradict, or which
            of two classes is positive is not known.
    """
    first, *others = systems
    systems = [first, *(system.with_parts(with_names_of(first.parts, system.parts)) for system in others)]
    systems = _positive_last(_in_common(systems) if common else systems, positive)
    names, tables = zip(*((_with_place(system), table) for system in systems for table in system.tables), strict=True)
    remedy = "" if common is None else ", or evaluate those that all systems have: common=true"
    ordered = iter(one_order(tables, names, remedy))
    systems = [replace(system, tables=[next(ordered) for _ in system.tables]) for system in systems]
    shared, origin = share_groups([system.parts for system in systems], [system.name for system in systems])
    return [_regrouped(system, part, origin) for system, part in zip(systems, shared, strict=True)]


def _in_common(systems: Sequence[System]) -> list[System]:
    """Return systems with the images that all of them have; what is left out of each is a caution of it."""
    shared = set.intersection(*(set(system.tables[0].image_id) for system in systems))
    if not shared:
        raise ValueError(f"common=true: no image is in each of {some(map(_with_place, systems), 9)}; leave it out")
    found = []
    for system in systems:
        out = [str(image) for image in system.tables[0].image_id if image not in shared]
        tables = (
            [table.take(np.isin(table.image_id, list(shared))) for table in system.tables] if out else system.tables
        )
        verb = "is" if len(out) == 1 else "are"
        note = f"{quantity(len(out), 'image')} that not every system has {verb} left out (common=true): {some(out, 5)}."
        cautions = [*system.cautions, *([note] if out else [])]
        found.append(replace(system, tables=tables, not_common=system.not_common + len(out), cautions=cautions))
    return found


def _with_place(system: System) -> str:
    """Return the name of a system with its file, for a message."""
    return system.name if system.place in ("", system.name) else f"{system.name} ({system.place})"


def _positive_last(systems: Sequence[System], chosen: Sequence[str] | None) -> list[System]:
    """Put the positive one of two classes last in every table."""
    classes = systems[0].tables[0].classes
    if len(classes) != 2:
        return list(systems)
    metas = [source["meta"] for system in systems for source in system.sources]
    recorded = {name for meta in metas for name in meta.get("positive") or () if name in classes}
    name = positive_class(classes, chosen or (list(recorded) if len(recorded) == 1 else None))

    def ordered(table: Predictions) -> Predictions:
        return table.positive_last(name) if name in table.classes else table  # other classes are refused later

    return [system.with_parts([ordered(table) for table in system.parts]) for system in systems]


def _regrouped(system: System, part: Sequence[Predictions], origin: str) -> System:
    """Return a system with the tables that share one grouping, noting whose it is where it is another's."""
    groups_from = system.groups_from if same_grouping(system.tables[0], part[0]) else origin
    return replace(system.with_parts(part), groups_from=groups_from)
