"""How unlike known rows of features new ones are: distances that tell images of another kind from familiar ones.

All of them are larger for stranger rows and none has a natural unit: set a threshold as a quantile of the distances of
known rows that fitted nothing, a network's own training included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.distances import squared_distances, unit

Floats = npt.NDArray[np.float64]

BLOCK = 1024  # rows whose neighbours are looked for at once


@dataclass(frozen=True)
class Mahalanobis:
    """Fitted by :func:`fit_mahalanobis`.

    Attributes:
        centres: ``(C, K)`` whitened means, one a class, or a single one.
        offset: ``(F,)`` mean of all rows.
        whitening: ``(F, K)``; maps features less ``offset`` to directions of variance one.
        shrinkage: how far the correlations were drawn towards none, 0 to 1.
    """

    centres: Floats
    offset: Floats
    whitening: Floats
    shrinkage: float

    def distance(self, features: npt.ArrayLike) -> Floats:
        """Return the distance of each row ``(M, F)`` to the nearest centre, ``(M,)``."""
        rows = _rows(features, len(self.offset))
        return np.asarray(np.sqrt(squared_distances((rows - self.offset) @ self.whitening, self.centres).min(1)))


def fit_mahalanobis(
    features: npt.ArrayLike, target: npt.NDArray[Any] | None = None, *, shrinkage: float | None = None
) -> Mahalanobis:
    """Fit means and a common covariance.

    With ``target`` there is a mean for each class and the covariance is the one within classes (Lee et al., 2018, "A
    simple unified framework for detecting out-of-distribution samples"). Features are brought to variance one first;
    one that never varies is left out.

    Args:
        features: ``(N, F)`` of known rows; there may be more features than rows.
        target: class of each row, ``(N,)``, of any kind.
        shrinkage: of the correlations towards none; what Ledoit and Wolf (2004) find best if left out.

    Raises:
        ValueError: fewer than two rows, features that don't vary or aren't finite, or a shrinkage that is no share.

    >>> fitted = fit_mahalanobis([[0.0, 0], [2, 0], [0, 4], [2, 4]])
    >>> fitted.distance([[1, 2], [2, 2], [1, 4]]).round(6).tolist()
    [0.0, 1.0, 1.0]
    """
    rows = _rows(features)
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} rows of features: at least two are needed; give all known images")
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage={shrinkage}: a share from 0 to 1 is expected, or None")
    classes = np.zeros(len(rows)) if target is None else np.asarray(target)
    if classes.shape != (len(rows),):
        raise ValueError(f"{len(rows)} rows of features and a target of shape {classes.shape}: give a class a row")
    names, kind = np.unique(classes, return_inverse=True)
    offset = rows.mean(0)
    centred = rows - offset
    means = np.stack([centred[kind == k].mean(0) for k in range(len(names))])
    within = centred - means[kind]
    scale = within.std(0)
    varies = scale > 1e-12 * max(float(np.abs(rows).max()), 1e-300)
    if not varies.any():
        raise ValueError("no feature varies among the known rows; give features of different images")
    # A constant feature gets weight 0 in the whitening: dividing by its spread would rule every distance.
    each = np.where(varies, 1 / np.where(varies, scale, 1), 0.0)
    z = within * each
    share = ledoit_wolf(z[:, varies]) if shrinkage is None else float(shrinkage)
    variance, axes = np.linalg.eigh((1 - share) * z.T @ z / len(z) + share * np.diag(varies.astype(float)))
    kept = variance > 1e-9 * variance.max()
    whitening = (each[:, None] * axes[:, kept]) / np.sqrt(variance[kept])
    return Mahalanobis(means @ whitening, offset, whitening, share)


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


def ledoit_wolf(centred: Floats) -> float:
    """Return Ledoit and Wolf's shrinkage of a covariance towards a multiple of the identity, 0 to 1.

    "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate Analysis 88 (2004).

    Args:
        centred: ``(N, F)`` rows less their mean.

    >>> ledoit_wolf(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))
    0.0
    """
    n, width = centred.shape
    squares = centred**2
    total = float(squares.sum() / n)
    # The Gram matrix of whichever side is smaller has the same sum of squares.
    gram = centred.T @ centred if width <= n else centred @ centred.T
    squared_norm = float((gram**2).sum() / n**2)
    from_target = (squared_norm - total**2 / width) / width
    error = (float((squares.sum(1) ** 2).sum() / n) - squared_norm) / (n * width)
    return float(np.clip(error / from_target, 0, 1)) if from_target > 1e-12 * squared_norm else 0.0


def _rows(features: npt.ArrayLike, width: int | None = None) -> Floats:
    """Return the features as a finite table ``(N, F)``."""
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or (width is not None and rows.shape[1] != width):
        wanted = "(N, F)" if width is None else f"(M, {width})"
        raise ValueError(f"features of shape {rows.shape}: {wanted} is expected, one row an image")
    if not np.isfinite(rows).all():
        raise ValueError("features hold values that are no finite numbers; leave out the images they are of")
    return rows
