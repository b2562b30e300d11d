"""The test of a paired difference that few groups make: McNemar's by its mid-p, of groups of any size.

The exact test is conservative where few images are discordant, and an interval that agrees with it covers more than it
should. Its mid-p, which counts half of the chance of the result found, comes closer to the error rate that is meant
(Fagerland, Lydersen and Laake, 2013).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MOST_DISCORDANT = 200  # groups, above which the exact p and that of the standard error are alike
NO_CHANGE = 1e-12  # that is rounding alone
STEPS = 100  # of the sum's grid, a group


def mid_p(by_group: Mapping[str, Floats], name: str) -> float:
    """Return the least p of a difference in a metric of decisions that the discordant groups allow.

    Of a sum over images, such as sensitivity, it is the mid-p of the test (:func:`sign_flip_p`); of others the least
    that a test of so many groups can have.

    Args:
        by_group: name of each metric that is a sum → ``(G,)`` what each group adds to its difference.
        name: of the metric.

    Returns:
        p; NaN where nothing is known of the groups.
    """
    if name in by_group:
        return sign_flip_p(by_group[name])
    return min(1.0, 2.0 ** -n_discordant(by_group, name)) if by_group else float("nan")


def n_discordant(by_group: Mapping[str, Floats], name: str) -> int:
    """Return in how many groups two systems differ: by this metric if it is a sum over images, else by any.

    >>> n_discordant({"recall/mel": np.array([1.0, 0, 0]), "accuracy": np.array([1.0, -1, 0])}, "f1/mel")
    2
    """
    changes = [by_group[name]] if name in by_group else list(by_group.values())
    return int(np.any([np.abs(each) > NO_CHANGE for each in changes], axis=0).sum())


def carried_by(changes: Floats) -> float:
    """Return how many groups a sum rests on: ``(sum d²)² / sum d⁴`` of what each adds to it ``(G,)``.

    >>> carried_by(np.array([1.0, -1.0, 0.0, 0.0]))
    2.0
    """
    squares = changes**2
    return float(squares.sum() ** 2 / (squares**2).sum()) if squares.any() else 0.0


def sign_flip_p(changes: Floats) -> float:
    """Return the two-sided mid-p of a sum whose terms have either sign with equal chance (Fisher's randomisation test).

    Each term is what a group adds to the difference of two systems; where the systems are equal, it might as well have
    the other sign. Of terms of one size it is the mid-p of a sign test, McNemar's of the discordant images. Sums are
    on a grid; those within its rounding of the sum found count as equal to it, and so by half.

    Args:
        changes: ``(G,)``; terms of 0 say nothing.

    Returns:
        p; NaN with more than ``MOST_DISCORDANT`` terms.

    >>> sign_flip_p(np.array([1.0, 1, 1, 1, 1, 1, 0, 0])), sign_flip_p(np.array([1.0, 1, 1, 1, 1, -1]))
    (0.015625, 0.125)
    """
    changes = changes[np.abs(changes) > NO_CHANGE]
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
    beyond = np.abs(2 * np.arange(total + 1) - total) - abs(steps.sum())
    return float(chance[beyond > n].sum() + chance[np.abs(beyond) <= n].sum() / 2)
