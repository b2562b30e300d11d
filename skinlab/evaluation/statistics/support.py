"""How many groups of each class a table has, and whether they are enough for an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.metrics.metric import Metric

Ints = npt.NDArray[np.int64]

FEW_GROUPS = 20  # of a class that a metric needs, below which an interval is rough
TO_RANK = 8  # of one of two classes, below which intervals of rankings cover more than they promise
FOR_PPV = 15  # the same for the PPV, a share of the few groups that are called positive
FOR_DIFFERENCE = 10  # of these groups, below which a difference has a p-value, but no interval
FOR_RANKING = 25  # the same for a difference of rankings
DISCORDANT = 5  # groups in which decisions must differ: with fewer no difference could be significant (mid-p .03)
CARRY_DIFFERENCE = 3  # groups that the variance of a difference of shares must rest on


@dataclass(frozen=True)
class GroupCounts:
    """The groups of a table by class.

    Attributes:
        classes: C class names.
        of_class: ``(C,)`` groups with an image of the class.
        of_rest: ``(C,)`` groups with an image of another class.
        total: all groups.
    """

    classes: Sequence[str]
    of_class: Ints
    of_rest: Ints
    total: int

    @classmethod
    def count(cls, group: Ints, target: Ints, classes: Sequence[str] = ()) -> GroupCounts:
        """Count the groups of rows with group numbers ``(N,)`` and class numbers ``(N,)``."""
        n_classes = max(len(classes), int(target.max()) + 1)
        has = np.zeros((int(group.max()) + 1, n_classes), bool)
        has[group, target] = True
        rest = (has.sum(1)[:, None] > has).sum(0)
        names = list(classes) or [f"class {c}" for c in range(n_classes)]
        return cls(names, has.sum(0), rest, len(has))

    def by_name(self) -> dict[str, int]:
        """Return class → groups with an image of it."""
        return dict(zip(self.classes, self.of_class.tolist(), strict=True))

    @property
    def n_present(self) -> int:
        """Number of classes with a group."""
        return int((self.of_class > 0).sum())

    def fewest(self, metric: Metric | None, of: str = "") -> tuple[int, str]:
        """Return the fewest groups among those that a metric needs, and what they are.

        Args:
            metric: its entry; None needs all groups together.
            of: the class of a metric per class; the positive one, the last, if left out.

        >>> counts = GroupCounts.count(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), ["nv", "mel"])
        >>> from skinlab.evaluation.metrics.registry import find_metric
        >>> counts.fewest(find_metric("recall/mel"), "mel"), counts.fewest(find_metric("accuracy"))
        ((2, 'groups of mel'), (3, 'groups'))
        """
        place = self.classes.index(of) if of in self.classes else len(self.classes) - 1
        own = _groups(self.of_class[place], f" of {self.classes[place]}")
        rest = _groups(self.of_rest[place], f" of other classes than {self.classes[place]}")
        present = [_groups(n, f" of {name}") for name, n in zip(self.classes, self.of_class, strict=True) if n]
        needed = {"class": [own], "rest": [rest], "both": [own, rest], "classes": present}
        return min(needed.get(metric.needs if metric else "images", [_groups(self.total)]))


def _groups(n: int, of: str = "") -> tuple[int, str]:
    return int(n), f"{'group' if n == 1 else 'groups'}{of}"
