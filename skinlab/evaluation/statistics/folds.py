"""Grouped, stratified folds for cross-fitting and probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from skinlab.text import quantity

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def group_folds(groups: npt.NDArray[Any], target: npt.NDArray[Any], n_folds: int = 5, seed: int = 0) -> Ints:
    """Return a fold number for each row, ``(N,)``; no group is cut, and each class is spread evenly.

    A group counts for the rarest class among its rows. The order of the rows makes no difference. With fewer groups
    than folds there is a fold a group; ValueError for fewer than two of either. Splits of a data set have an algorithm
    of their own (`skinlab.data.splits`), since their parts have given shares and balance every class of mixed groups.

    >>> group_folds(np.array(["a", "a", "b", "c", "d"]), np.array([1, 1, 1, 0, 0]), n_folds=2).tolist()
    [0, 0, 1, 0, 1]
    """
    group = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    n_groups = int(group.max(initial=-1)) + 1
    if n_groups < 2 or n_folds < 2:
        raise ValueError(
            f"{quantity(n_groups, 'group')} and {quantity(n_folds, 'fold')}: cross-fitting needs at least two of each"
        )
    _, label, count = np.unique(np.asarray(target), return_inverse=True, return_counts=True)
    rarity = np.argsort(np.argsort(count, kind="stable"))
    stratum = np.full(n_groups, len(count))
    np.minimum.at(stratum, group, rarity[label])
    chance = np.random.default_rng(seed).permutation(n_groups)
    fold = np.empty(n_groups, np.int64)
    fold[np.lexsort((chance, -np.bincount(group), stratum))] = np.arange(n_groups) % n_folds
    return fold[group]


def out_of_fold(folds: Ints, predict: Callable[[Bools], npt.ArrayLike]) -> npt.NDArray[Any]:
    """Return a value for each row ``(N, ...)``, found without the rows of its own fold.

    Args:
        folds: ``(N,)`` fold of each row.
        predict: from a mask ``(N,)`` of the rows of a fold to their values, in their order, by what the other rows
            teach; one value for all of them does, too.

    >>> values = np.array([1.0, 2.0, 6.0])
    >>> out_of_fold(np.array([0, 0, 1]), lambda held: values[~held].mean()).tolist()
    [6.0, 6.0, 1.5]
    """
    masks = [folds == fold for fold in np.unique(folds)]
    values = [np.asarray(predict(held)) for held in masks]
    found = np.empty((len(folds), *values[0].shape[1:]), values[0].dtype)
    for held, value in zip(masks, values, strict=True):
        found[held] = value
    return found
