"""Combine the probabilities of several systems, by rules or by learned weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import softmax

from skinlab.evaluation.predictions import check_target, probability_floor
from skinlab.evaluation.statistics.folds import group_folds, out_of_fold

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

QUANTILES = 1001  # of a reference distribution, which puts a rank off by a thousandth at most
FLOOR = 1e-7  # at least, of a geometric mean, in which a zero of one member would veto a class


def combine(
    members: Floats,
    method: str = "mean",
    weights: Floats | None = None,
    thresholds: Floats | None = None,
    reference: Floats | None = None,
) -> Floats:
    """Return the ensemble's probabilities ``(N, C)``.

    - ``mean``: arithmetic mean. ``weighted``: the same with weights. ``geometric``: geometric mean, rows normalised.
    - ``rank``: each class's scores become ranks in [0, 1] (ties share theirs), averaged, rows normalised. It frees
      members from each other's calibration, but the result is **not calibrated**, predicts all classes about equally
      often and depends on which rows stand in the table, or in the ``reference`` among whose rows each is placed
      instead. Beyond two classes the normalised rows also blur the order within a class, which costs the average
      precision of rare ones.
    - ``overlap``: two classes; positive only where every member's positive probability reaches its threshold. The
      result is a hard call, exactly 0 or 1: F1, sensitivity and specificity mean something, log-loss and curves don't.

    Args:
        members: ``(M, N, C)`` probabilities.
        method: one of the above.
        weights: ``(M,)`` not negative, for ``weighted`` only; scaled to sum to one.
        thresholds: ``(M,)`` for ``overlap`` only; one half where not given.
        reference: ``(M, Q, C)`` for ``rank`` only, of :func:`rank_reference`; the members' own rows where not given.

    Raises:
        ValueError: shapes, method, weights, thresholds or reference don't fit together.

    >>> two = np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.4, 0.6], [0.1, 0.9]]])
    >>> combine(two, "mean").round(3).tolist()
    [[0.6, 0.4], [0.2, 0.8]]
    >>> combine(two, "overlap")[:, 1].tolist()
    [0.0, 1.0]
    """
    members = stacked(members)
    if method not in COMBINATIONS:
        raise ValueError(f"method={method} is not a way to combine members; choose one of {', '.join(COMBINATIONS)}")
    learned = {"weights": weights, "thresholds": thresholds, "reference": reference}
    for name, values, owner in (("weights", weights, "weighted"), ("thresholds", thresholds, "overlap")):
        if values is not None and method != owner:
            raise ValueError(f"{name} are for method={owner}, not {method}; leave them out")
        if values is not None and np.shape(values) != (len(members),):
            raise ValueError(f"{name} {np.shape(values)} for {len(members)} members; give one a member")
    if reference is not None and (method != "rank" or np.shape(reference)[::2] != members.shape[::2]):
        raise ValueError(
            f"a reference {np.shape(reference)} for method={method} of members {members.shape}; make it again"
        )
    found = COMBINATIONS[method]
    combined: Floats = found.function(members, learned[found.learns] if found.learns else None)
    return combined


def stacked(members: Floats) -> Floats:
    """Return members as one ``(M, N, C)`` array, refusing any other shape."""
    array = np.asarray(members, np.float64)
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"members {array.shape}: give (members, rows, classes), at least one of each")
    return array


def _mean(members: Floats, _: None) -> Floats:
    return np.asarray(members.mean(0))


def _weighted(members: Floats, weights: Floats | None) -> Floats:
    return np.asarray(np.tensordot(_simplex(weights), members, 1))


def _geometric(members: Floats, _: None) -> Floats:
    if len(members) == 1:
        return np.array(members[0])
    return np.asarray(softmax(np.log(_floored(members)).mean(0), axis=1))


def _floored(members: Floats) -> Floats:
    """Return members with ``FLOOR`` for a zero, or half a unit of the last decimal of a table that is rounded."""
    floors = [max(FLOOR, probability_floor(member)) for member in members]
    return np.asarray(np.maximum(members, np.reshape(floors, (-1, 1, 1))))


def rank_reference(members: Floats, size: int = QUANTILES) -> Floats:
    """Return order statistics ``(M, Q, C)``, Q <= ``size``, of each member and class, among which new rows are ranked.

    They are evenly spaced, least and greatest among them; up to ``size`` rows are all kept.

    >>> rank_reference(np.array([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]]), size=2).tolist()
    [[[0.2, 0.1], [0.9, 0.8]]]
    """
    ordered = np.sort(stacked(members), axis=1)
    n = ordered.shape[1]
    return np.asarray(ordered[:, np.linspace(0, n - 1, min(n, size)).round().astype(np.int64)])


def _rank_mean(members: Floats, reference: Floats | None) -> Floats:
    reference = members if reference is None else reference
    known, ranks = np.sort(reference, axis=1), np.full(members.shape, 0.5)
    last = known.shape[1] - 1
    for m, c in np.ndindex(members.shape[0], members.shape[2]) if last else ():
        least, most = (np.searchsorted(known[m, :, c], members[m, :, c], side) for side in ("left", "right"))
        ranks[m, :, c] = np.clip((least + most - 1) / 2 / last, 0, 1)
    mean = ranks.mean(0)
    total = mean.sum(1, keepdims=True)
    alike = np.full_like(mean, 1 / mean.shape[1])  # of a new row that is last in every class
    return np.asarray(np.divide(mean, total, out=alike, where=total > 0))


def _overlap(members: Floats, thresholds: Floats | None) -> Floats:
    thresholds = np.full(len(members), 0.5) if thresholds is None else thresholds
    if members.shape[2] != 2:
        raise ValueError(
            f"method=overlap needs two classes, got {members.shape[2]}; name the positive ones, 'positive=[A,B]'"
        )
    positive = (members[:, :, 1] >= np.asarray(thresholds)[:, None]).all(0).astype(np.float64)
    return np.stack([1 - positive, positive], axis=1)


@dataclass(frozen=True)
class Combination:
    """A way to combine members.

    Attributes:
        function: maps members ``(M, N, C)``, and what it has learned from rows, to probabilities ``(N, C)``.
        learns: name of that argument of :func:`combine`; None where nothing is learned.
    """

    function: Callable[[Floats, Any], Floats]
    learns: str | None = None


# A new combination is a function above and its entry here.
COMBINATIONS = {
    "mean": Combination(_mean),
    "geometric": Combination(_geometric),
    "rank": Combination(_rank_mean, learns="reference"),
    "weighted": Combination(_weighted, learns="weights"),
    "overlap": Combination(_overlap, learns="thresholds"),
}


def _simplex(weights: Floats | None) -> Floats:
    if weights is None:
        raise ValueError("method=weighted needs weights; fit them out of fold or choose method=mean")
    array = np.asarray(weights, np.float64)
    if not np.isfinite(array).all() or (array < 0).any() or array.sum() <= 0:
        raise ValueError(f"weights {array.tolist()}: give numbers that are not negative, at least one above zero")
    return np.asarray(array / array.sum())


def fit_weights(members: Floats, target: Ints) -> Floats:
    """Return the weights ``(M,)``, summing to one, under which the weighted mean has the least log-loss on these rows.

    The problem is convex. Its constraint is dropped for a penalty: over weights that are not negative,
    ``-mean(log(w @ p)) + sum(w)`` has its minimum where the weights sum to one (Kim et al., 2020, mixsqp), so that
    bounded L-BFGS finds it without chance and can set a useless member to exactly zero.

    Args:
        members: ``(M, N, C)`` probabilities; zeros count as 1e-7, in rounded tables as half a unit of the last decimal.
        target: ``(N,)`` true class numbers.

    >>> right, wrong = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.4, 0.6], [0.6, 0.4]])
    >>> fit_weights(np.stack([right, wrong]), np.array([0, 1])).tolist()
    [1.0, 0.0]
    """
    members = stacked(members)
    check_target(members, target)
    likelihood = _floored(members)[:, np.arange(len(target)), target]

    def penalised(weights: Floats) -> tuple[float, Floats]:
        mixed = np.maximum(weights @ likelihood, np.finfo(np.float64).tiny)
        return float(weights.sum() - np.log(mixed).mean()), 1 - (likelihood / mixed).mean(1)

    m = len(members)
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
    start, bounds = np.full(m, 1 / m), [(0, None)] * m
    found = minimize(penalised, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(found.x / found.x.sum())


def cross_fit_weights(
    members: Floats, target: Ints, groups: npt.NDArray[Any], n_folds: int = 5, seed: int = 0
) -> Floats:
    """Return the weighted mean of each row ``(N, C)`` under weights learned without its fold.

    Args:
        members: ``(M, N, C)`` out-of-fold probabilities: no member was trained on the row.
        target: ``(N,)`` true class numbers.
        groups: ``(N,)``; a group is never cut.
        n_folds: number of folds.
        seed: of the folds.
    """
    members = stacked(members)
    check_target(members, target)
    return out_of_fold(
        group_folds(groups, target, n_folds, seed),
        lambda held: combine(members[:, held], "weighted", fit_weights(members[:, ~held], target[~held])),
    )
