"""Compare two places at the same case mix: images are weighted so that each class has a stated share of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.predictions import Predictions

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CaseMix:
    """Weights by which the images of each class have a stated share, in the table and in every sample of it.

    Within a class all images keep their weights to each other, so that the metrics are those of the same images seen in
    the other proportion (direct standardisation). The shares are taken as given.

    Attributes:
        target: ``(N,)`` class numbers.
        shares: ``(C,)`` of the classes, which sum to one; images of a class of share 0 do not count.
    """

    target: Ints
    shares: Floats

    def __call__(self, weights: Floats) -> Floats:
        """Return weights ``(N, B)`` at the case mix for weights ``(N, B)``, with the same sum.

        >>> CaseMix(np.array([0, 0, 1]), np.array([0.5, 0.5]))(np.ones((3, 1)))[:, 0].tolist()
        [0.75, 0.75, 1.5]
        """
        counts = np.stack([weights[self.target == c].sum(0) for c in range(len(self.shares))])
        with np.errstate(divide="ignore", invalid="ignore"):
            factors = np.where(counts > 0, self.shares[:, None] / counts, 0.0)
        return np.asarray(weights * factors[self.target] * weights.sum(0))


def shared_classes(a: Predictions, b: Predictions, min_groups: int = MIN_GROUPS) -> list[str]:
    """Return the classes with so many groups or more in both tables, in the order of the first."""
    enough = [set(_frequent(table, min_groups)) for table in (a, b)]
    return [name for name in a.classes if name in enough[0] & enough[1]]


def class_shares(table: Predictions, classes: Sequence[str]) -> Floats:
    """Return the share ``(C,)`` of each class among the images of some classes, 0 for the others."""
    counts = np.bincount(table.target, minlength=len(table.classes)) * np.isin(table.classes, classes)
    return np.asarray(counts / counts.sum())


def of_classes(table: Predictions, classes: Sequence[str]) -> Bools:
    """Return which images are of some classes, ``(N,)``."""
    return np.asarray(np.isin(np.asarray(table.classes)[table.target], classes))


def _frequent(table: Predictions, min_groups: int) -> list[str]:
    group = table.group.astype(str)
    return [name for c, name in enumerate(table.classes) if len(np.unique(group[table.target == c])) >= min_groups]
