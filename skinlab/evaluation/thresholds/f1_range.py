"""The thresholds that may be the best ones for F1, given the images that it was chosen on.

Where F1 is highest is a poor quantity for a bootstrap interval (Abrevaya and Huang, 2005), but which thresholds are
worse than another one can be tested. Those that aren't are a confidence set of the best one (Hsu, 1984, "Constrained
simultaneous confidence intervals for multiple comparisons with the best"; as a set, Hansen, Lunde and Nason, 2011,
"The model confidence set").
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.statistics.bootstrap import BLOCK, LEVEL, Resampler
from skinlab.processes.progress import track

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

N_LEVELS = 60  # thresholds among the positives' scores, and as many among all
N_DRAWS = 1000


def f1_threshold_range(
    score: Floats,
    truth: Bools,
    groups: npt.NDArray[Any],
    *,
    level: float = LEVEL,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return the lowest and the highest threshold whose F1 is not discernibly below that of another one.

    With probability `level` the interval holds the threshold of best F1 in the population, if it is one of the
    candidates: quantiles of the scores. A threshold is left out if the largest gain of another one over it, in standard
    errors of their difference, exceeds that quantile of the same maximum's deviation in bootstrap samples.

    Args:
        score: ``(N,)``, higher is more positive; a row is predicted positive at ``score >= threshold``.
        truth: ``(N,)`` whether each row is positive.
        groups: ``(N,)`` lesion, patient or whatever else belongs together.
        level: of confidence.
        n_draws: bootstrap samples of whole groups.
        seed: of the samples.

    Returns:
        None with fewer than five groups of a class.
    """
    resampler = Resampler(groups, truth.astype(np.int64), stratified=True)
    if len(resampler.strata) < 2 or min(map(len, resampler.strata)) < MIN_GROUPS:
        return None
    ranks = np.linspace(0, 1, N_LEVELS)
    candidates = np.unique(np.concatenate([np.quantile(each, ranks, method="lower") for each in (score[truth], score)]))
    called = (score[:, None] >= candidates).astype(np.float64)

    def f1(weights: Floats) -> Floats:
        """Return F1 of each candidate in each sample, ``(T, B)``."""
        found = (called * truth[:, None]).T @ weights
        return np.asarray(2 * found / (called.T @ weights + truth @ weights))

    estimate = f1(np.ones((len(score), 1)))[:, 0]
    samples = track(resampler.weights(n_draws, seed), "bootstrap samples, by the hundred", -(-n_draws // BLOCK))
    deviation = np.concatenate([f1(weights) for weights in samples], axis=1)
    deviation -= estimate[:, None]
    kept = [each for k, each in enumerate(candidates) if _may_be_best(k, estimate, deviation, level)]
    return float(min(kept)), float(max(kept))


def _may_be_best(k: int, estimate: Floats, deviation: Floats, level: float) -> bool:
    """Return whether no candidate is discernibly better than candidate `k`.

    Args:
        k: number of the candidate.
        estimate: ``(T,)`` F1 of the candidates.
        deviation: ``(T, B)`` of bootstrap samples from it.
        level: of confidence.
    """
    differences = deviation - deviation[k]
    error = differences.std(axis=1)
    other = error > 0
    if not other.any():
        return True
    gain = ((estimate - estimate[k])[other] / error[other]).max()
    chance = (differences[other] / error[other, None]).max(axis=0)
    return bool(gain <= np.quantile(chance, level))
