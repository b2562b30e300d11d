"""Rank unlabeled images for labelling by an expert: scores, orders, and the yield of an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import entr
from scipy.stats import hypergeom

from skinlab.evaluation.distances import Features, squared_distances
from skinlab.processes.progress import track

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

UNCERTAINTIES = ("entropy", "margin", "least_confidence")
TURNS = ("probability", "uncertainty", "probability", "diversity")  # of a mixed order, over and over
BLOCK = 512  # rows whose distances are taken at once


def uncertainty(probabilities: Floats, kind: str = "entropy") -> Floats:
    """Return how undecided each row is, ``(N,)`` from 0 to 1 (Settles, 2009, "Active learning literature survey").

    ``entropy`` over its largest value; ``margin``, one less the lead of the first class over the second;
    ``least_confidence``, what the first class lacks to one, over its largest value. With two classes all agree on the
    order.

    Args:
        probabilities: ``(N, C)``.
        kind: one of ``UNCERTAINTIES``.

    >>> [float(uncertainty(np.array([[1.0, 0, 0], [0.5, 0.5, 0]]), kind).round(3)[1]) for kind in UNCERTAINTIES]
    [0.631, 1.0, 0.75]
    """
    n_classes = probabilities.shape[1]
    if kind == "entropy":
        return np.asarray(entr(probabilities).sum(1) / np.log(n_classes))
    first_two = np.sort(probabilities, axis=1)[:, :-3:-1]
    if kind == "margin":
        return np.asarray(1 - (first_two[:, 0] - first_two[:, 1]))
    if kind == "least_confidence":
        return np.asarray((1 - first_two[:, 0]) * n_classes / (n_classes - 1))
    raise ValueError(f"uncertainty={kind}: choose {', '.join(UNCERTAINTIES)}")


def descending(score: Floats) -> Ints:
    """Return the rows from the highest score down; rows of one score stay in their order."""
    return np.argsort(-score, kind="stable")


def first_of_each(order: Ints, groups: npt.NDArray[Any]) -> Ints:
    """Return an order without rows whose group occurs earlier in it.

    >>> first_of_each(np.array([2, 0, 1, 3]), np.array(["a", "b", "a", "c"])).tolist()
    [2, 1, 3]
    """
    _, first = np.unique(np.asarray(groups)[order], return_index=True)
    return order[np.sort(first)]


def mixed(orders: Mapping[str, Ints], groups: npt.NDArray[Any], n: int) -> tuple[Ints, list[str]]:
    """Merge orders by turns: each adds its next row of a group that is not in the result yet.

    Of any beginning half comes by probability, a quarter by uncertainty and a quarter by diversity.

    Args:
        orders: name in ``TURNS`` → rows; one that is exhausted is passed over.
        groups: of all rows.
        n: rows wanted; fewer if the orders give no more.

    Returns:
        The rows and the name of the order that gave each.

    >>> orders = {"probability": np.array([0, 1, 2]), "uncertainty": np.array([0, 3]), "diversity": np.array([4])}
    >>> mixed(orders, np.array(list("abcde")), 4)[1]
    ['probability', 'uncertainty', 'probability', 'diversity']
    """
    left = {name: iter(order.tolist()) for name, order in orders.items()}
    taken: set[Any] = set()
    rows: list[int] = []
    names: list[str] = []
    idle = 0
    while len(rows) < n and idle < len(TURNS):
        name = TURNS[(len(rows) + idle) % len(TURNS)]
        row = next((each for each in left[name] if groups[each] not in taken), None)
        idle = idle + 1 if row is None else 0
        if row is not None:
            taken.add(groups[row])
            rows.append(row)
            names.append(name)
    return np.array(rows, np.int64), names


def k_centre_order(features: Features, n: int, covered: Features | None = None) -> Ints:
    """Return ``n`` rows, each the farthest from all before it and from those covered already.

    The greedy k-centre of Sener and Savarese (2018), "Active learning for convolutional neural networks: a core-set
    approach": its largest distance of a row to the nearest centre is at most twice the best possible one.

    Args:
        features: ``(N, F)``.
        n: rows wanted, at most N.
        covered: ``(M, F)``, of the labelled images; without them the row nearest to the mean comes first.

    >>> k_centre_order(np.array([[0.0], [1], [9], [10]]), 3, covered=np.array([[0.0]])).tolist()
    [3, 1, 2]
    """
    rows = np.ascontiguousarray(features)
    chosen: list[int] = []
    nearest = np.full(len(rows), np.inf)
    if len(rows) and (covered is None or not len(covered)):
        chosen = [int(squared_distances(rows, rows.mean(0)[None])[:, 0].argmin())]
        nearest = _closer(nearest, rows, chosen)
    elif covered is not None:
        for start in range(0, len(rows), BLOCK):
            nearest[start : start + BLOCK] = squared_distances(rows[start : start + BLOCK], covered).min(1)
    wanted = range(len(chosen), min(n, len(rows)))
    for _ in track(wanted, "choosing diverse images", len(wanted)):
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        nearest = _closer(nearest, rows, chosen[-1:])
    return np.array(chosen[:n], np.int64)


def badge_order(probabilities: Floats, features: Features, n: int, seed: int = 0) -> Ints:
    """Return ``n`` rows drawn as k-means++ draws its centres, on gradients of the last layer.

    Ash et al. (2020), "Deep batch active learning by diverse, uncertain gradient lower bounds": the gradient of the
    loss for the predicted class, ``(p - e) ⊗ features``, is long where the network is unsure. The distances need no
    product to be formed. The first row is the one with the longest gradient, as in the authors' code.

    Args:
        probabilities: ``(N, C)``.
        features: ``(N, F)``.
        n: rows wanted, at most N.
        seed: of the bootstrap samples.
    """
    error = probabilities - np.eye(probabilities.shape[1])[probabilities.argmax(1)]
    rows = np.asarray(features, np.float64)
    length = (error**2).sum(1) * (rows**2).sum(1)
    rng = np.random.default_rng(seed)
    nearest = np.full(len(rows), np.inf)
    chosen: list[int] = []
    wanted = range(min(n, len(rows)))
    for _ in track(wanted, "choosing diverse images", len(wanted)):
        if not chosen:
            row = int(length.argmax())
        elif (total := nearest.sum()) > 0:
            row = int(rng.choice(len(rows), p=nearest / total))
        else:  # all that is left is equal to what there is
            row = int(np.setdiff1d(np.arange(len(rows)), chosen)[0])
        chosen.append(row)
        squares = length + length[row] - 2 * (error @ error[row]) * (rows @ rows[row])
        nearest = np.minimum(nearest, np.maximum(squares, 0))
        nearest[chosen] = 0
    return np.array(chosen, np.int64)


def yield_curve(found: Bools, n_positive: int, n_total: int, level: float = 0.95) -> dict[str, Any]:
    """Return the positives found after each image, and those expected in a random order.

    Args:
        found: ``(n,)`` whether each image of the order is positive.
        n_positive: positives among all images that could have been chosen.
        n_total: all of these.
        level: of random's interval, which is the hypergeometric distribution's.

    Returns:
        ``labelled``, ``found``, ``random``, ``random_low`` and ``random_high``, each ``(n,)``, and ``lift`` ``(n,)``,
        how many times as many as random is expected to find; NaN where that is none.

    >>> curve = yield_curve(np.array([True, False, True]), n_positive=2, n_total=8)
    >>> curve["found"], curve["random"], curve["lift"]
    ([1, 1, 2], [0.25, 0.5, 0.75], [4.0, 2.0, 2.6667])
    """
    if not len(found) <= n_total or not int(found.sum()) <= n_positive <= n_total:
        raise ValueError(
            f"{found.sum()} of {len(found)} found, but {n_positive} of {n_total} are there: check the rows"
        )
    labelled, so_far = np.arange(1, len(found) + 1), np.cumsum(found)
    expected = labelled * n_positive / max(n_total, 1)
    law = hypergeom(n_total, n_positive, labelled)
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = so_far / expected
    return {
        "labelled": labelled.tolist(),
        "found": so_far.tolist(),
        "random": expected.round(4).tolist(),
        "random_low": law.ppf((1 - level) / 2).astype(int).tolist(),
        "random_high": law.ppf((1 + level) / 2).astype(int).tolist(),
        "lift": [float(each) for each in lift.round(4)],
    }


def points_of_curve(
    curve: Mapping[str, Sequence[Any]], counts: Sequence[int] = (10, 25, 50, 100, 200)
) -> list[dict[str, Any]]:
    """Return a curve's metrics after some numbers of images, and after all."""
    last = len(curve["labelled"])
    wanted = sorted({each for each in (*counts, last) if 1 <= each <= last})
    return [{name: values[each - 1] for name, values in curve.items()} for each in wanted]


def _closer(nearest: Floats, rows: Features, chosen: Sequence[int]) -> Floats:
    """Return each row's squared distance to the nearest centre, now that there are new ones."""
    return np.asarray(np.minimum(nearest, squared_distances(rows, rows[list(chosen)]).min(1)))
