"""Lengths of rows of features, and distances between them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]

BLOCK = 1024  # rows whose neighbours are searched at once


def unit(rows: Features) -> Features:
    """Return rows ``(N, F)`` scaled to length one; a row of zeros stays.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))


def squared_distances(rows: Features, others: Features) -> npt.NDArray[np.float64]:
    """Return the squared distance of each row ``(N, F)`` from each other one ``(M, F)``, ``(N, M)``.

    >>> squared_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [1.0, 0.0]])).tolist()
    [[25.0, 1.0]]
    """
    squares = (rows**2).sum(1)[:, None] + (others**2).sum(1) - 2 * rows @ others.T
    return np.asarray(np.maximum(squares, 0), np.float64)


def neighbour_distance(features: npt.ArrayLike, known: npt.ArrayLike, *, k: int = 5) -> Floats:
    """Return the distance of each row to its ``k``-th nearest known row, ``(M,)``, all scaled to length one.

    Of Sun et al. (2022), "Out-of-distribution detection with deep nearest neighbors". From 0 (the same direction) to 2.

    Args:
        features: ``(M, F)``.
        known: ``(N, F)``; a row that is among them is its own nearest neighbour.
        k: which neighbour counts.

    Raises:
        ValueError: fewer than ``k`` known rows, other widths, or values that aren't finite.

    >>> neighbour_distance([[2.0, 0], [0, -3]], [[1.0, 0], [0, 1], [5, 0]], k=2).round(4).tolist()
    [0.0, 1.4142]
    """
    known = unit(_rows(known))
    rows = unit(_rows(features, known.shape[1]))
    if not 1 <= k <= len(known):
        raise ValueError(f"k={k}: a number from 1 to that of the known rows, {len(known)}, is expected")
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    nearest = [np.partition(squared_distances(block, known), k - 1, axis=1)[:, k - 1] for block in blocks]
    return np.asarray(np.sqrt(np.concatenate([np.empty(0), *nearest])))


def _rows(features: npt.ArrayLike, width: int | None = None) -> Floats:
    """Return the features as a finite table ``(N, F)``."""
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or (width is not None and rows.shape[1] != width):
        wanted = "(N, F)" if width is None else f"(M, {width})"
        raise ValueError(f"features of shape {rows.shape}: {wanted} is expected, one row an image")
    if not np.isfinite(rows).all():
        raise ValueError("features hold values that are no finite numbers; leave out the images they are of")
    return rows
