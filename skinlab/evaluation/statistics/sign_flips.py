"""The exact test of a paired difference that few groups make: McNemar's, of groups of any size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MOST_DISCORDANT = 200  # groups, above which the exact p and that of the standard error are alike
STEPS = 100  # of the sum's grid, a group


def sign_flip_p(changes: Floats) -> float:
    """Return the two-sided p of a sum whose terms have either sign with equal chance (Fisher's randomisation test).

    Each term is what a group adds to the difference of two systems; where the systems are equal, it might as well have
    the other sign. Of terms of one size it is the exact p of a sign test, McNemar's of the discordant images. Sums are
    on a grid; those within its rounding of the sum found count as equal to it.

    Args:
        changes: ``(G,)``; terms of 0 say nothing.

    Returns:
        p; NaN with more than ``MOST_DISCORDANT`` terms.

    >>> sign_flip_p(np.array([1.0, 1, 1, 1, 1, 1, 0, 0])), sign_flip_p(np.array([1.0, 1, 1, 1, 1, -1]))
    (0.03125, 0.21875)
    """
    changes = changes[np.abs(changes) > 1e-12 * max(np.abs(changes).max(initial=0), 1e-300)]
    n = len(changes)
    if n == 0:
        return 1.0
    if n > MOST_DISCORDANT:
        return float("nan")
    steps = np.rint(changes * (n * STEPS / np.abs(changes).sum())).astype(np.int64)
    total = np.abs(steps).sum()
    chance = np.zeros(total + 1)  # of each sum of the terms that keep their sign
    chance[0] = 1
    for step in np.abs(steps[steps != 0]):
        chance[step:], chance[:step] = (chance[step:] + chance[:-step]) / 2, chance[:step] / 2
    sums = np.abs(2 * np.arange(total + 1) - total)
    return float(chance[sums >= abs(steps.sum()) - n].sum())
