"""The share of positives where a system will be used: probabilities and weights of images for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.predictions import Predictions

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class StatedPrevalence:
    """A stated share of positives; the classes of each side keep their shares among themselves.

    Sensitivity, specificity and whatever else depends on the images of one side alone are taken to hold at any
    prevalence (Elkan, 2001, "The foundations of cost-sensitive learning").

    Attributes:
        share: of the positives, between 0 and 1.
        positive: ``(C,)`` whether each class is positive; some are, some not.
    """

    share: float
    positive: Bools

    @classmethod
    def of(cls, share: float | None, rows: Predictions, positive: Sequence[str] | None) -> Self | None:
        """Return the prevalence for rows; None where none is stated, no class is positive, or one side has no rows.

        Args:
            share: stated.
            rows: whose classes are meant.
            positive: the positive classes; None: the last one of two.
        """
        names = positive or (rows.classes[1:] if len(rows.classes) == 2 else [])
        is_positive = np.isin(rows.classes, list(names))
        if share is None or len(np.unique(is_positive[rows.target])) < 2:
            return None
        return cls(share, is_positive)

    def factors(self, shares: Floats) -> Floats:
        """Return by what each class's share has to be multiplied ``(C,)``.

        Args:
            shares: ``(C,)`` shares or counts of the classes; both sides have some.

        >>> StatedPrevalence(0.1, np.array([False, False, True])).factors(np.array([20, 30, 50])).round(3)
        array([1.8, 1.8, 0.2])
        """
        own = shares[self.positive].sum() / shares.sum()
        return np.asarray(np.where(self.positive, self.share / own, (1 - self.share) / (1 - own)))

    def correct(self, probabilities: Floats, target: Ints) -> Floats:
        """Correct probabilities ``(N, C)`` for the shares among other rows to the prevalence (Saerens et al., 2002).

        Args:
            probabilities: calibrated.
            target: ``(M,)`` class numbers of the rows that they are calibrated on.
        """
        mass = probabilities * self.factors(np.bincount(target, minlength=len(self.positive)).astype(np.float64))
        return np.asarray(mass / mass.sum(1, keepdims=True))

    def weights(self, weights: Floats, target: Ints) -> Floats:
        """Return weights ``(N, B)`` under which the share of positives is the prevalence.

        Where a weighting leaves one side only, that side counts alone.

        Args:
            weights: ``(N, B)``.
            target: ``(N,)`` class numbers.
        """
        truth = self.positive[target]
        sides = [(truth, self.share), (~truth, 1 - self.share)]
        found = weights.astype(np.float64)
        for rows, share in sides:
            total = weights[rows].sum(0)
            found[rows] *= np.divide(share, total, out=np.zeros_like(found[0]), where=total > 0)
        return found
