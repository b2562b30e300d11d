"""Compare images with and without something at the same mix of strata, such as source and class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Arm:
    """Weights of the images of one of two arms, by which both have the same mix of strata.

    A stratum with ``n`` images in one arm and ``m`` in the other counts ``n m / (n + m)`` in both (Mantel and Haenszel,
    1959): strata of one arm alone do not count, and those with few images of one count little. The counts are those of
    each sample.

    Attributes:
        stratum: ``(N,)`` numbers of the strata.
        rows: ``(N,)`` which images are in this arm; all others are in the other one.
    """

    stratum: Ints
    rows: Bools

    def __call__(self, weights: Floats) -> Floats:
        """Return weights ``(N, B)`` of this arm for weights ``(N, B)`` of both.

        >>> stratum, rows = np.array([0, 0, 0, 1]), np.array([True, False, False, True])
        >>> Arm(stratum, rows)(np.ones((4, 1)))[:, 0].round(2).tolist()  # the second stratum has no other arm
        [0.67, 0.0, 0.0, 0.0]
        >>> Arm(stratum, ~rows)(np.ones((4, 1)))[:, 0].round(2).tolist()
        [0.0, 0.33, 0.33, 0.0]
        """
        here, there = (self._counts(weights * rows[:, None]) for rows in (self.rows, ~self.rows))
        with np.errstate(invalid="ignore"):
            share = np.where(there > 0, there / (here + there), 0.0)
        return np.asarray(weights * self.rows[:, None] * share[self.stratum])

    def counted(self) -> Bools:
        """Return which images of this arm count ``(N,)``."""
        return np.asarray(self(np.ones((len(self.rows), 1)))[:, 0] > 0)

    def _counts(self, weights: Floats) -> Floats:
        """Return the sum of the weights ``(S, B)`` of each stratum."""
        return np.stack([weights[self.stratum == s].sum(0) for s in range(int(self.stratum.max()) + 1)])
