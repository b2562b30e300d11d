"""Conformal prediction: sets of classes that contain the true one for a chosen share of new lesions, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.evaluation.evidence.calibration_form import Conformal
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.overlap import row_keys
from skinlab.evaluation.predictions import Predictions, check_target
from skinlab.evaluation.statistics.folds import group_folds, out_of_fold
from skinlab.evaluation.statistics.intervals import Interval, ShareSize, share_interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SEPARATOR = "|"  # between the classes of a set in a table


def groups_needed(level: float) -> int:
    """Return how many groups a class needs for a threshold of its own.

    >>> groups_needed(0.9)
    9
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level:g} is the coverage: set it between 0 and 1, such as 0.9")
    return int(np.ceil(level / (1 - level) - 1e-9))


def conformal_thresholds(
    probabilities: Floats, target: Ints, level: float = 0.9, groups: npt.NDArray[Any] | None = None
) -> Floats:
    """Return the lowest probability with which each class is in a set (Vovk, 2012; Sadinle et al., 2019).

    Split conformal prediction conditional on the class (Mondrian). Images of one lesion are not exchangeable, lesions
    are (Dunn, Wasserman and Ramdas, 2023, "Distribution-free prediction sets for two-layer hierarchical models"): the
    score is one a group, the least probability of the true class among its images. The promise is for groups: of a new
    lesion of a class all images get sets that hold the class with probability ``level`` at least, whatever the
    model, while lesions are like these; so does any single image of it. A class with fewer than
    ``groups_needed(level)`` groups takes the threshold of all groups together, which promises nothing for that class;
    with too few groups altogether the threshold is zero and sets hold everything.

    Args:
        probabilities: ``(N, C)`` of rows that the model was not trained on.
        target: ``(N,)`` true class numbers.
        level: coverage promised.
        groups: ``(N,)`` lesion or patient of each row; each row by itself if left out.

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
    groups = np.arange(n) if groups is None else groups
    likelihood, needed = probabilities[np.arange(n), target], groups_needed(level)
    worst = [_least(likelihood[rows], groups[rows]) for rows in (np.full(n, True), *(target == i for i in range(c)))]
    together, *own = (_quantile(each, level) if len(each) >= needed else None for each in worst)
    return np.array([together or 0.0 if each is None else each for each in own])


def conformal_sets(probabilities: Floats, thresholds: Floats) -> Bools:
    """Return which classes are in each row's set, ``(N, C)``; a set may be empty.

    >>> conformal_sets(np.array([[0.7, 0.3], [0.55, 0.45]]), np.array([0.5, 0.4])).tolist()
    [[True, False], [True, True]]
    """
    return np.asarray(probabilities >= thresholds)


@dataclass(frozen=True)
class ConformalSets:
    """Thresholds of conformal sets as they are stored with a model.

    Attributes:
        level: coverage promised, for all images of a new lesion.
        thresholds: the lowest probability with which each class is in a set.
        groups: number of groups of each class that they were chosen on.
        chosen_on: those rows in words.
        rows: what tells them again, see :func:`skinlab.evaluation.overlap.row_keys`.
    """

    level: float
    thresholds: list[float]
    groups: list[int]
    chosen_on: str
    rows: dict[str, str] = field(default_factory=dict)

    @classmethod
    def fit(cls, rows: Predictions, level: float, chosen_on: str) -> ConformalSets:
        """Choose the thresholds on rows that the model was not trained on.

        Raises:
            ValueError: there are too few groups for the level.
        """
        thresholds = conformal_thresholds(rows.probabilities, rows.target, level, rows.group)
        n, needed = len(np.unique(rows.group.astype(str))), groups_needed(level)
        if n < needed:
            raise ValueError(f"a coverage of {level:g} needs {needed} lesions at least, and there are {n}")
        groups = _group_counts(rows.target, rows.group, len(rows.classes)).tolist()
        return cls(level, thresholds.tolist(), groups, f"{chosen_on}, {n} lesions", row_keys(rows))

    @property
    def unpromised(self) -> list[int]:
        """Numbers of the classes with too few groups for a promise of their own."""
        return [i for i, n in enumerate(self.groups) if n < groups_needed(self.level)]

    def names(self, probabilities: Floats, classes: Sequence[str]) -> list[str]:
        """Return each row's set as text: its classes, most probable first; empty where no class is in it.

        >>> ConformalSets(0.9, [0.1, 0.4], [9, 9], "val").names(np.array([[0.45, 0.55], [0.7, 0.3]]), ["nv", "mel"])
        ['mel|nv', 'nv']
        """
        sets, order = (
            conformal_sets(probabilities, np.array(self.thresholds)),
            np.argsort(-probabilities, kind="stable"),
        )
        return [SEPARATOR.join(classes[i] for i in ranked if held[i]) for held, ranked in zip(sets, order, strict=True)]

    def facts(self) -> dict[str, Any]:
        """Return plain values for what is read with a table: without what tells the rows again."""
        return {name: value for name, value in asdict(self).items() if name != "rows"}


def cross_conformal(
    probabilities: Floats, target: Ints, folds: Ints, level: float = 0.9, groups: npt.NDArray[Any] | None = None
) -> Bools:
    """Return sets ``(N, C)`` whose thresholds come from the rows of other folds.

    Args:
        probabilities: ``(N, C)``.
        target: ``(N,)`` true class numbers.
        folds: ``(N,)`` fold of each row; a group is in one.
        level: coverage promised.
        groups: ``(N,)`` lesion or patient of each row; each row by itself if left out.
    """
    lesions = np.arange(len(target)) if groups is None else groups

    def sets(held: Bools) -> Bools:
        thresholds = conformal_thresholds(probabilities[~held], target[~held], level, lesions[~held])
        return conformal_sets(probabilities[held], thresholds)

    return out_of_fold(folds, sets)


def conformal_report(
    probabilities: Floats,
    target: Ints,
    groups: npt.NDArray[Any],
    classes: Sequence[str],
    level: float = 0.9,
    n_folds: int = 5,
    seed: int = 0,
    interval_level: float = 0.95,
) -> Conformal:
    """Return the coverage of cross-fitted sets, over all groups and by class, with Wilson's intervals.

    Args:
        probabilities: ``(N, C)``.
        target: ``(N,)`` true class numbers.
        groups: ``(N,)`` lesion or patient of each row.
        classes: C class names.
        level: coverage promised.
        n_folds: number of grouped folds.
        seed: of the folds.
        interval_level: of the intervals.

    Returns:
        ``level``, ``unit`` (``lesion``, or ``image`` where each is by itself), ``coverage`` (``overall`` and each
        class: the share of lesions of which all images' sets hold the true class), ``image_coverage`` (the share of
        images), ``mean_size`` of the sets, and ``note``, which names the classes without a promise and the share
        of empty sets.
    """
    folds, needed, c = group_folds(groups, target, n_folds, seed), groups_needed(level), len(classes)
    sets = cross_conformal(probabilities, target, folds, level, groups)
    held = sets[np.arange(len(target)), target]
    parts = {"overall": np.full(len(target), True)} | {name: target == i for i, name in enumerate(classes)}
    by_group = {name: _least(held[rows], groups[rows]) for name, rows in parts.items()}
    counts = [_group_counts(target[folds != f], groups[folds != f], c) for f in np.unique(folds)]
    rare = [name for name, count in zip(classes, np.min(counts, axis=0), strict=True) if count < needed]
    note, empty = "Thresholds by class, chosen on other lesions.", float((~sets.any(1)).mean())
    if empty:
        note += f" {empty:.1%} of the sets are empty."
    if rare:
        note += (
            f" Fewer than the {needed} lesions that {level:.0%} needs: {', '.join(rare)}; in folds so short of them"
            " they share the threshold of all lesions, which promises no coverage for them."
        )
    return {
        "level": level,
        "unit": "image" if len(by_group["overall"]) == len(target) else "lesion",
        "coverage": {name: _share(each, interval_level).to_dict() for name, each in by_group.items()},
        "image_coverage": float(held.mean()),
        "mean_size": float(sets.sum(1).mean()),
        "note": note,
    }


def _share(held: Floats, level: float) -> Interval:
    """Return the share of groups that are held, with Wilson's interval where there are enough."""
    n = len(held)
    if n < MIN_GROUPS:
        value = float(held.mean()) if n else float("nan")
        return Interval.none(
            value, f"no interval: {n} {'lesion' if n == 1 else 'lesions'}, at least {MIN_GROUPS} are needed"
        )
    return Interval(float(held.mean()), *share_interval(float(held.mean()), ShareSize(n, n, n), 0.0, level))


def _least(values: npt.NDArray[Any], groups: npt.NDArray[Any]) -> Floats:
    """Return the least value of each group."""
    least = pd.Series(values.astype(np.float64)).groupby(pd.factorize(groups)[0]).min()
    return np.asarray(least, np.float64)


def _group_counts(target: Ints, groups: npt.NDArray[Any], c: int) -> Ints:
    """Return the number of groups with a row of each class, ``(C,)``."""
    pairs = np.unique(np.stack([target, pd.factorize(groups)[0]]), axis=1)
    return np.bincount(pairs[0], minlength=c)


def _quantile(likelihood: Floats, level: float) -> float:
    """Return the value that at least ``ceil((n + 1) * level)`` of the n likelihoods reach."""
    rank = int(np.ceil((len(likelihood) + 1) * level - 1e-9))
    return float(np.sort(likelihood)[len(likelihood) - rank])
