"""Calibration slope and intercept: a logistic regression of the truth on the logit of its probability."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.predictions import probability_floor

Floats = npt.NDArray[np.float64]

NEWTON_STEPS = 50
MIN_PROBABILITY = 1e-6  # of a logit, so that one image far out does not decide the slope


class Logistic:
    """A fitted logistic regression whose first coefficient is known under other weights of the rows, too.

    A weighting's coefficient is one Newton step from the fit's, exact for the fit's weights and right to first order
    for bootstrap samples of them (Moulton and Zeger, 1991); refitting would cost an exponential a row, a sample and a
    step.

    Args:
        design: ``(K, N)`` regressors.
        offset: ``(N,)`` what the linear predictor holds besides.
        truth: ``(N,)`` 0 or 1.
        weights: ``(N,)`` of the rows in the fit; None for equal ones.

    Attributes:
        coefficients: ``(K,)``, NaN where there is no finite fit: separable classes, or a constant regressor twice.
        rows: ``(K + K², N)`` gradient and curvature of each row, to be summed with weights for :meth:`step`.
    """

    def __init__(self, design: Floats, offset: Floats, truth: Floats, weights: Floats | None = None) -> None:
        self.k, weights = len(design), np.ones(len(truth)) if weights is None else weights
        self.coefficients = np.zeros(self.k)
        for _ in range(NEWTON_STEPS):
            fitted = 1 / (1 + np.exp(-np.clip(offset + self.coefficients @ design, -500, 500)))
            curvature = fitted * (1 - fitted) * design[:, None] * design[None]
            self.rows = np.concatenate([(truth - fitted) * design, curvature.reshape(self.k**2, -1)])
            move = self._move((self.rows @ weights)[:, None])[:, 0]
            if np.abs(move).max() < 1e-9:
                return
            self.coefficients = self.coefficients + np.clip(move, -2, 2)
        self.coefficients = np.full(self.k, np.nan)

    def step(self, sums: Floats) -> Floats:
        """Return the first coefficient ``(B,)`` for weighted sums ``(K + K², B)`` of the rows."""
        return np.asarray(self.coefficients[0] + self._move(sums)[0])

    def _move(self, sums: Floats) -> Floats:
        gradient, curvature = sums[: self.k].T[..., None], sums[self.k :].T.reshape(-1, self.k, self.k)
        if not np.isfinite(self.coefficients).all() or (np.linalg.cond(curvature) > 1e12).any():
            return np.full((self.k, sums.shape[1]), np.nan)
        return np.asarray(np.linalg.solve(curvature, gradient)[..., 0].T)


def slope_and_intercept(probability: Floats, truth: Floats, weights: Floats | None = None) -> tuple[Logistic, Logistic]:
    """Fit the calibration slope, and the intercept with the slope held at 1 (Cox, 1958; Van Calster et al., 2016).

    Perfect calibration has slope 1 and intercept 0; a slope below 1 says that the probabilities are too extreme, a
    negative intercept that they are too high.

    Args:
        probability: ``(N,)``, clipped to [1e-6, 1 - 1e-6], or to half a unit of its last decimal where that is more.
        truth: ``(N,)`` 0 or 1.
        weights: ``(N,)`` of the rows in the fit; None for equal ones.
    """
    least = max(MIN_PROBABILITY, probability_floor(probability))
    p = np.clip(probability, least, 1 - least)
    logit, one = np.log(p / (1 - p)), np.ones_like(p)
    slope = Logistic(np.stack([logit, one]), np.zeros_like(p), truth, weights)
    return slope, Logistic(one[None], logit, truth, weights)
