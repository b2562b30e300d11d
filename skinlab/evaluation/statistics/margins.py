"""The variance of a paired difference of shares, such as sensitivities, if the true difference were a margin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

Floats = npt.NDArray[np.float64]

NEXT = 1e-9  # distance of a difference from its bound, or from the next one, that is rounding alone


@dataclass(frozen=True)
class Discordant:
    """What the groups on which two systems differ add to the difference.

    Attributes:
        gained: sum of what is in favour of the first system.
        lost: sum of what is against it.
        size: what one such group adds, on average weighed by itself; one image of N single ones adds 1/N.
    """

    gained: float
    lost: float
    size: float

    @classmethod
    def of(cls, changes: Floats) -> Discordant:
        """Return that of what each group adds to the difference ``(G,)``.

        >>> Discordant.of(np.array([0.125, -0.125, -0.125, 0]))
        Discordant(gained=0.125, lost=0.25, size=0.125)
        """
        total = np.abs(changes).sum()
        size = float((changes**2).sum() / total) if total > 0 else 0.0
        return cls(float(changes[changes > 0].sum()), float(-changes[changes < 0].sum()), size)

    def variance(self, difference: float) -> float:
        """Return the variance of the difference found, if the true one were `difference` (Tango, 1998).

        The share of images that the first system loses is the most likely one of those with that difference. The
        variance that is found itself is too small where few groups differ, and none where no group does: two of 100
        images lost are no proof of less than five.

        >>> round(Discordant(0, 0.02, 0.01).variance(-0.05), 6)  # (0.05 - 0.05²) / 100
        0.000475
        """
        linear = self.gained + self.lost - difference * (2 - self.gained + self.lost)
        root = max(linear**2 + 8 * self.lost * difference * (1 - difference), 0.0) ** 0.5
        lost = float(np.clip((linear + root) / 4, max(0.0, -difference), (1 - difference) / 2))
        return (2 * lost + difference - difference**2) * self.size


def uniform_interval(changes: Floats, quantile: float) -> tuple[float, float]:
    """Return the interval of a difference to which every group adds the same, so that its own variance is none.

    >>> [round(end, 3) for end in uniform_interval(np.full(40, -1 / 40), 1.96)]
    [-1.0, -0.825]
    """
    discordant = Discordant.of(changes)
    return score_interval(float(changes.sum()), lambda each: quantile * discordant.variance(each) ** 0.5)


def score_interval(value: float, reach: Callable[[float], float]) -> tuple[float, float]:
    """Return the least and the greatest true difference from which the one found is no further than `reach` allows.

    Args:
        value: difference of two shares found.
        reach: true difference → how far from it a difference found is not significantly another.

    >>> [round(end, 3) for end in score_interval(-0.02, lambda d: 1.96 * Discordant(0, 0.02, 0.01).variance(d) ** 0.5)]
    [-0.07, 0.018]
    """

    def end(bound: float) -> float:
        if abs(value - bound) <= reach(bound) + NEXT:
            return bound
        start = value + NEXT * (bound - value)  # the variance at a difference of -1 is none

        def beyond(each: float) -> float:
            return abs(value - each) - reach(each)

        return value if beyond(start) >= 0 else float(brentq(beyond, start, bound))

    return end(-1.0), end(1.0)
