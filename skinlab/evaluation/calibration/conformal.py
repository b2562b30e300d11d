"""Conformal prediction: sets of classes that contain the true one with a chosen coverage, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.form import Conformal
from skinlab.evaluation.predictions import check_target
from skinlab.evaluation.statistics.folds import group_folds

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def rows_needed(level: float) -> int:
    """Return how many rows a class needs for a threshold of its own.

    >>> rows_needed(0.9)
    9
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level:g} is the coverage: set it between 0 and 1, such as 0.9")
    return int(np.ceil(level / (1 - level) - 1e-9))


def conformal_thresholds(probabilities: Floats, target: Ints, level: float = 0.9) -> Floats:
    """Return the lowest probability with which each class is in a set (Vovk, 2012; Sadinle et al., 2019).

    Split conformal prediction conditional on the class (Mondrian), with one minus the probability as the score: new
    rows of a class get sets that hold it with probability ``level`` at least, whatever the model, while they are like
    these rows. A class with fewer than ``rows_needed(level)`` rows takes the threshold of all rows together,
    which promises nothing for that class; with too few rows altogether the threshold is zero and sets hold everything.

    Args:
        probabilities: ``(N, C)`` of rows that the model was not trained on.
        target: ``(N,)`` true class numbers.
        level: coverage promised.

    Returns:
        ``(C,)`` thresholds.

    Raises:
        ValueError: shapes that differ, rows without a known label, a level outside (0, 1).

    >>> p = np.linspace(0.1, 0.9, 9)
    >>> conformal_thresholds(np.stack([p, 1 - p], 1), np.zeros(9, int), level=0.9)
    array([0.1, 0.1])
    """
    n, c = probabilities.shape
    check_target(probabilities, target)
    needed = rows_needed(level)
    likelihood = probabilities[np.arange(n), target]
    together = _quantile(likelihood, level) if n >= needed else 0.0
    own = [likelihood[target == i] for i in range(c)]
    return np.array([_quantile(rows, level) if len(rows) >= needed else together for rows in own])


def conformal_sets(probabilities: Floats, thresholds: Floats) -> Bools:
    """Return which classes are in each row's set, ``(N, C)``; a set may be empty.

    >>> conformal_sets(np.array([[0.7, 0.3], [0.55, 0.45]]), np.array([0.5, 0.4])).tolist()
    [[True, False], [True, True]]
    """
    return np.asarray(probabilities >= thresholds)


def cross_conformal(probabilities: Floats, target: Ints, folds: Ints, level: float = 0.9) -> Bools:
    """Return sets ``(N, C)`` whose thresholds come from the rows of other folds.

    Args:
        probabilities: ``(N, C)``.
        target: ``(N,)`` true class numbers.
        folds: ``(N,)`` fold of each row; a group is in one.
        level: coverage promised.
    """
    sets = np.zeros(probabilities.shape, bool)
    for fold in np.unique(folds):
        held = folds == fold
        thresholds = conformal_thresholds(probabilities[~held], target[~held], level)
        sets[held] = conformal_sets(probabilities[held], thresholds)
    return sets


def conformal_report(
    probabilities: Floats,
    target: Ints,
    groups: npt.NDArray[Any],
    classes: Sequence[str],
    level: float = 0.9,
    n_folds: int = 5,
    seed: int = 0,
) -> Conformal:
    """Return the coverage of cross-fitted sets, over all rows and by class.

    Args:
        probabilities: ``(N, C)``.
        target: ``(N,)`` true class numbers.
        groups: ``(N,)`` lesion or patient of each row.
        classes: C class names.
        level: coverage promised.
        n_folds: number of grouped folds.
        seed: of the folds.

    Returns:
        ``level``, ``coverage`` (``overall`` and each class, NaN for one without rows), ``mean_size`` of the sets, and
        ``note``, which names the classes without a promise and the share of empty sets.
    """
    folds, needed = group_folds(groups, target, n_folds, seed), rows_needed(level)
    sets = cross_conformal(probabilities, target, folds, level)
    held = sets[np.arange(len(target)), target]
    rows = np.bincount(target, minlength=len(classes))
    hits = np.bincount(target, weights=held, minlength=len(classes))
    with np.errstate(invalid="ignore"):
        shares = hits / rows
    fewest = np.min([np.bincount(target[folds != f], minlength=len(classes)) for f in np.unique(folds)], axis=0)
    rare = [name for name, count in zip(classes, fewest, strict=True) if count < needed]
    note, empty = "Thresholds by class, chosen on other groups' rows.", float((~sets.any(1)).mean())
    if empty:
        note += f" {empty:.1%} of the sets are empty."
    if rare:
        note += (
            f" Fewer than the {needed} rows that {level:.0%} needs: {', '.join(rare)}; in folds so short of them they"
            " share the threshold of all rows, which promises no coverage for them."
        )
    return {
        "level": level,
        "coverage": {"overall": float(held.mean()), **dict(zip(classes, shares.tolist(), strict=True))},
        "mean_size": float(sets.sum(1).mean()),
        "note": note,
    }


def _quantile(likelihood: Floats, level: float) -> float:
    """Return the value that at least ``ceil((n + 1) * level)`` of the n likelihoods reach."""
    rank = int(np.ceil((len(likelihood) + 1) * level - 1e-9))
    return float(np.sort(likelihood)[len(likelihood) - rank])
