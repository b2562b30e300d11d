"""The parts of a table's groups that the jackknife leaves out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

LEFT_OUT = 400  # parts


@dataclass(frozen=True)
class Jackknife:
    """The parts of the groups that the jackknife leaves out in turn, each of groups of one class.

    Attributes:
        part: ``(G,)`` the part of each group.
        part_class: ``(J,)`` class of each part.
        part_size: ``(J,)`` number of groups of each part.
    """

    part: Ints
    part_class: Ints
    part_size: Ints

    @classmethod
    def of(cls, group_class: Ints, n_parts: int = LEFT_OUT) -> Jackknife:
        """Return single groups as parts where there are no more than `n_parts`; else each class has about as many."""
        counts = np.bincount(group_class)
        limit = max(n for n in range(1, n_parts + 1) if np.minimum(counts, n).sum() <= max(n_parts, (counts > 0).sum()))
        part, classes = np.empty(len(group_class), np.int64), list[int]()
        for c in np.flatnonzero(counts):
            own = np.flatnonzero(group_class == c)
            part[own] = len(classes) + np.arange(len(own)) % limit
            classes += [int(c)] * min(len(own), limit)
        return cls(part, np.array(classes), np.bincount(part))
