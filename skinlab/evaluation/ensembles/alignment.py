"""Predictions of the same rows by several systems, brought into one order and one grouping."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.grouping import same_grouping, share_groups
from skinlab.text import quantity

log = logging.getLogger(__name__)

MAX_NAMED = 5  # images in a message


def align_rows(members: Sequence[Predictions], names: Sequence[str]) -> list[Predictions]:
    """Return the members with their rows in the order of the first, and one grouping for all.

    Args:
        members: predictions of the same rows by several systems.
        names: what to call each member in a message.

    Raises:
        ValueError: classes or their order differ, an image is missing or extra, a label differs, or groups contradict.
    """
    ordered = one_order(members, names)
    shared, origin = share_groups([[each] for each in ordered], names)
    for name, before, (after,) in zip(names, ordered, shared, strict=True):
        if not same_grouping(before, after):
            log.warning("%s: grouped as in %s, so that all share bootstrap samples", name, origin)
    return [member for (member,) in shared]


def one_order(members: Sequence[Predictions], names: Sequence[str], remedy: str = "") -> list[Predictions]:
    """Return the members with their rows in the order of the first; arguments and errors as in :func:`align_rows`.

    ``remedy`` is what else can be done where an image is missing.
    """
    others = zip(members[1:], names[1:], strict=True)
    return [members[0], *(_aligned(members[0], each, (names[0], name), remedy) for each, name in others)]


def _aligned(first: Predictions, member: Predictions, names: tuple[str, str], remedy: str) -> Predictions:
    first_name, name = names
    if member.classes != first.classes:
        what = (
            "have their classes in different orders"
            if set(member.classes) == set(first.classes)
            else "have different classes"
        )
        raise ValueError(
            f"{first_name} and {name} {what}: {', '.join(first.classes)} against {', '.join(member.classes)}; "
            "use systems of one task, with the probability columns in one order"
        )
    place = {image: row for row, image in enumerate(member.image_id)}
    missing = [image for image in first.image_id if image not in place]
    extra = sorted(set(map(str, member.image_id)) - set(map(str, first.image_id)))
    if missing or extra:
        has, lacks, odd = (first_name, name, missing) if missing else (name, first_name, extra)
        first_few = ", ".join(map(str, odd[:MAX_NAMED])) + (" …" if len(odd) > MAX_NAMED else "")
        raise ValueError(
            f"{lacks} has no row for {quantity(len(odd), 'image')} that {has} has, {first_few}; give predictions "
            f"of the same images{remedy}"
        )
    member = member.take(np.array([place[image] for image in first.image_id]))
    differing = np.flatnonzero(first.target != member.target)
    if len(differing):
        row = differing[0]
        ours, theirs = (_label(each, row) for each in (first, member))
        raise ValueError(f"image {first.image_id[row]} is {ours} in {first_name} and {theirs} in {name}; correct one")
    return member


def _label(table: Predictions, row: int) -> str:
    return "unlabelled" if table.target[row] < 0 else table.classes[table.target[row]]
