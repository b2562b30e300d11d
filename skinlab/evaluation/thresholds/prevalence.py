"""Estimate the prevalence of positives among unlabeled images from error rates on labelled ones.

Counting positive predictions is biased: where positives are rare most of them are false positives. Both estimates here
correct it, and both assume label shift: the classes may be of other shares than in the reference, but within a class
the images are alike (Lipton et al., 2018, "Detecting and correcting for label shift with black box predictors").
Another device, another clinic's patients or images of another kind break that, and no metric here shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.calibration.calibrators import fit_calibrator
from skinlab.evaluation.statistics.bootstrap import LEVEL, Resampler
from skinlab.processes.progress import track
from skinlab.text import quantity

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Groups = Sequence[Any] | npt.NDArray[Any]

N_DRAWS = 200
TOLERANCE = 1e-7  # of a class's share, between two steps
STEPS = 2000


def adjusted_count(predicted: float, sensitivity: float, false_alarms: float) -> float:
    """Return the share of positives from a share of positive predictions (Forman, 2008).

    Args:
        predicted: share of the images predicted positive.
        sensitivity: share of positives that are predicted positive.
        false_alarms: share of the others that are predicted positive.

    Returns:
        ``(predicted - false_alarms) / (sensitivity - false_alarms)`` within [0, 1]; NaN where predictions are
        independent of the truth.

    >>> round(adjusted_count(0.1 * 0.8 + 0.9 * 0.3, 0.8, 0.3), 6)
    0.1
    """
    if not sensitivity > false_alarms:
        return float("nan")
    return float(np.clip((predicted - false_alarms) / (sensitivity - false_alarms), 0, 1))


def em_shares(
    probabilities: Floats, prior: Floats, weights: Floats | None = None, start: Floats | None = None
) -> Floats:
    """Return the classes' shares ``(C,)`` among images that make their probabilities likeliest.

    Saerens, Latinne and Decaestecker (2002), "Adjusting the outputs of a classifier to new a priori probabilities":
    probabilities are reweighted by new share over old, their mean becomes the new share, until it stays.

    Args:
        probabilities: ``(N, C)``, calibrated on rows of the shares `prior`.
        prior: ``(C,)``; a class of share 0 gets 0.
        weights: ``(N,)`` how often each image counts.
        start: shares to begin with, sooner there if near.

    >>> em_shares(np.array([[1.0, 0], [0, 1], [0, 1], [0, 1]]), np.array([0.5, 0.5])).round(6).tolist()
    [0.25, 0.75]
    """
    there = prior > 0
    ratio = probabilities[:, there] / prior[there]
    weights = np.ones(len(ratio)) if weights is None else weights
    # Images of classes that the reference lacks alone say nothing about the others.
    known = (ratio.sum(1) > 0) & (weights > 0)
    ratio, weights = ratio[known], weights[known]
    if not len(ratio):
        return np.full(len(prior), np.nan)
    shares = (prior if start is None else np.maximum(start, 1e-6))[there]
    shares = shares / shares.sum()
    for _ in range(STEPS):
        with np.errstate(divide="ignore"):
            new = shares * (ratio.T @ (weights / (ratio @ shares))) / weights.sum()
        done = np.abs(new - shares).max() < TOLERANCE
        shares = new / new.sum()
        if done:
            break
    found = np.zeros(len(prior))
    found[there] = shares
    return found


def estimate_prevalence(
    pool: Floats,
    reference: Floats,
    target: Ints,
    positive: Sequence[int],
    *,
    pool_groups: Groups | None = None,
    groups: Groups | None = None,
    calibration: str = "vector",
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Estimate the share of positives in a pool, with an interval.

    The reference calibrates the probabilities (with a shift for each class, without which the estimate is biased:
    Alexandari et al., 2020, "Maximum likelihood with bias-corrected calibration is hard to beat at label shift
    adaptation"); :func:`em_shares` then finds the pool's classes. :func:`adjusted_count`, at the threshold where the
    reference's sensitivity and specificity together are best, is given beside it as a check of another kind. Every
    sample of the interval takes whole groups of reference and pool anew, and fits and chooses all of that again.

    Args:
        pool: ``(N, C)`` probabilities of the images without labels.
        reference: ``(M, C)`` probabilities of labelled images that the network was not fitted on.
        target: ``(M,)`` class numbers of the reference.
        positive: class numbers.
        pool_groups: ``(N,)``; each image by itself if left out.
        groups: ``(M,)``; each image by itself if left out.
        calibration: a method of :func:`skinlab.evaluation.calibration.calibrators.fit_calibrator`.
        n_draws: of the interval.
        seed: of the bootstrap samples.

    Returns:
        ``em``, ``adjusted_count`` and ``called`` (the plain share of positive predictions), each with ``value``,
        ``low``, ``high``; ``classes``, the shares of all classes; ``images``, ``reference_images`` and
        ``reference_positives``.

    Raises:
        ValueError: no image, or the reference has no positives or nothing but these.
    """
    truth = np.isin(target, positive)
    if not len(pool) or not truth.any() or truth.all():
        raise ValueError(
            f"{quantity(len(pool), 'image')} and {quantity(truth.sum(), 'positive')} among {len(truth)} labelled ones: "
            "a share of positives needs images, positives and others"
        )
    own_groups = np.arange(len(pool)) if pool_groups is None else pool_groups
    groups = np.arange(len(target)) if groups is None else groups
    (shares, metrics), *samples = sampled_shares(
        pool, reference, target, list(positive), own_groups, groups, calibration, n_draws, seed
    )
    counts = {"images": len(pool), "reference_images": len(target), "reference_positives": int(truth.sum())}
    ends = _ends(metrics, [list(each.values()) for _, each in samples])
    return ends | {"classes": shares.tolist(), "level": LEVEL} | counts


def sampled_shares(
    pool: Floats,
    reference: Floats,
    target: Ints,
    positive: list[int],
    pool_groups: Groups,
    groups: Groups,
    calibration: str = "vector",
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> list[tuple[Floats, dict[str, float]]]:
    """Return the shares of all classes ``(C,)`` with the estimates of positives, of the images and of each sample.

    Arguments as of :func:`estimate_prevalence`.
    """
    shares, metrics = _estimate(pool, reference, target, positive, calibration)
    pairs = _weights(pool_groups, groups, target, n_draws, seed)
    return [(shares, metrics)] + [
        _estimate(pool, reference[rows], target[rows], positive, calibration, weights, shares)
        for weights, rows in track(pairs, "bootstrap samples of the share of positives", n_draws)
    ]


def _ends(metrics: Mapping[str, float], samples: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return each metric with the ends of its percentile interval."""
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    ends = np.nanquantile(np.array(samples), tails, axis=0).T
    return {
        name: {"value": value, "low": float(low), "high": float(high)}
        for (name, value), (low, high) in zip(metrics.items(), ends, strict=True)
    }


def _weights(
    pool_groups: Groups, groups: Groups, target: Ints, n_draws: int, seed: int
) -> Iterator[tuple[Floats, npt.NDArray[np.intp]]]:
    """Yield bootstrap samples: how often each image of the pool counts, and the rows of the reference, repeated."""
    in_pool = Resampler(pool_groups, np.zeros(len(pool_groups), np.int64))
    in_reference = Resampler(groups, target, stratified=True)
    for blocks in zip(in_pool.weights(n_draws, seed), in_reference.weights(n_draws, seed + 1), strict=True):
        for of_pool, of_reference in zip(*(block.T for block in blocks), strict=True):
            yield of_pool, np.repeat(np.arange(len(of_reference)), of_reference.astype(np.int64))


def _estimate(
    pool: Floats,
    reference: Floats,
    target: Ints,
    positive: list[int],
    calibration: str,
    weights: Floats | None = None,
    start: Floats | None = None,
) -> tuple[Floats, dict[str, float]]:
    """Return the shares of all classes, and the estimates by name."""
    weights = np.ones(len(pool)) if weights is None else weights
    calibrator = fit_calibrator(calibration, reference, target)
    calibrated, n_classes = calibrator(reference), pool.shape[1]
    # The mean of the calibrated probabilities, not the count: what the calibration misses cancels out.
    prior = np.where(np.bincount(target, minlength=n_classes) > 0, calibrated.mean(0), 0)
    shares = em_shares(calibrator(pool), prior, weights, start)
    truth = np.isin(target, positive)
    score, in_pool = reference[:, positive].sum(1), pool[:, positive].sum(1)
    threshold, sensitivity, false_alarms = _best_threshold(score, truth)
    predicted = float(weights[in_pool >= threshold].sum() / weights.sum())
    count = adjusted_count(predicted, sensitivity, false_alarms)
    return shares, {"em": float(shares[positive].sum()), "adjusted_count": count, "called": predicted}


def _best_threshold(score: Floats, truth: Bools) -> tuple[float, float, float]:
    """Return the threshold of the largest difference of sensitivity and false alarms, and these two."""
    order = np.argsort(-score, kind="stable")
    last = np.r_[np.diff(score[order]) != 0, True]  # equal scores are predicted together
    sensitivity = np.cumsum(truth[order])[last] / truth.sum()
    false_alarms = np.cumsum(~truth[order])[last] / (~truth).sum()
    best = int((sensitivity - false_alarms).argmax())
    return float(score[order][last][best]), float(sensitivity[best]), float(false_alarms[best])
