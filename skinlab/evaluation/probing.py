"""Probes of features: kNN and linear classifiers, cross-validated by group."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skinlab.evaluation.distances import unit
from skinlab.evaluation.statistics.folds import group_folds

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]
Scores = Callable[[Floats, Ints, Floats, int], Floats]

N_FOLDS = 5
NEIGHBOURS, TEMPERATURE = 20, 0.07  # of the weighted vote (Wu et al., 2018, arXiv 1805.01978; DINO, arXiv 2104.14294)
# Inverse strength of the linear probe's weight decay on standardised features. Of 1e-4 to 1e-1 the best on 2,000 images
# of HAM10000 and ImageNet's features; a tenth or ten times of it costs .04 balanced accuracy at most.
INVERSE_DECAY = 3e-3


def neighbour_scores(known: Floats, target: Ints, queries: Floats, n_classes: int) -> Floats:
    """Return each class's share ``(N, C)`` in the vote of the 20 nearest by cosine, over its share of the known rows.

    Dividing by that share makes the class of the highest score the prediction of best balanced accuracy: among skewed
    classes the plain vote nearly always goes to the largest. The order of the rows within a class stays that of the
    vote.

    Args:
        known: features ``(M, F)`` with classes.
        target: their class numbers ``(M,)``.
        queries: features ``(N, F)``.
        n_classes: C.

    >>> known = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    >>> neighbour_scores(known, np.array([0, 0, 1]), np.array([[0.1, 2.0]]), 2).argmax(1)
    array([1])
    """
    similarity = unit(queries) @ unit(known).T
    k = min(NEIGHBOURS, len(known))
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]  # stable: equal neighbours, equal choice
    weight = np.exp((np.take_along_axis(similarity, nearest, 1) - 1) / TEMPERATURE)
    votes = np.zeros((len(queries), n_classes))
    np.add.at(votes, (np.arange(len(queries))[:, None], target[nearest]), weight)
    votes /= votes.sum(1, keepdims=True)
    return np.asarray(votes / np.maximum(np.bincount(target, minlength=n_classes), 1) * len(target))


def linear_scores(known: Floats, target: Ints, queries: Floats, n_classes: int) -> Floats:
    """Return each class's probability ``(N, C)`` by a class-balanced logistic regression on standardised features.

    Args:
        known: features ``(M, F)`` with classes.
        target: their class numbers ``(M,)``; classes without rows get 0.
        queries: features ``(N, F)``.
        n_classes: C.
    """
    scores, there = np.zeros((len(queries), n_classes)), np.unique(target)
    if len(there) == 1:
        scores[:, there] = 1.0
        return scores
    regression = LogisticRegression(C=INVERSE_DECAY, class_weight="balanced", max_iter=200)
    with warnings.catch_warnings(action="ignore"):  # of a last digit that 200 steps leave open
        scores[:, there] = make_pipeline(StandardScaler(), regression).fit(known, target).predict_proba(queries)
    return scores


PROBES: dict[str, Scores] = {"knn": neighbour_scores, "linear": linear_scores}


def probe_metrics(features: Floats, target: Ints, groups: npt.ArrayLike, n_classes: int) -> dict[str, float]:
    """Return balanced accuracy and macro average precision of both probes, over the classes that have rows.

    Every row is scored by probes that were fitted without its group, over five folds (fewer where there are fewer
    groups), always the same ones.

    Args:
        features: ``(N, F)``.
        target: class numbers ``(N,)``.
        groups: group of each row ``(N,)``, such as its lesion.
        n_classes: C.

    Raises:
        ValueError: one class or one group only, or features that are no numbers.
    """
    if not np.isfinite(features).all():
        raise ValueError("the features are no finite numbers")
    folds = probe_folds(target, groups)
    metrics = {}
    for name, probe in PROBES.items():
        scores = np.zeros((len(target), n_classes))
        for fold in range(folds.max() + 1):
            out = folds == fold
            # One thread: the products are so small that several of them mostly wait for each other.
            with threadpool_limits(limits=1):
                scores[out] = probe(features[~out], target[~out], features[out], n_classes)
        precision = [average_precision_score(target == each, scores[:, each]) for each in np.unique(target)]
        metrics[f"{name}_balanced_accuracy"] = float(balanced_accuracy_score(target, scores.argmax(1)))
        metrics[f"{name}_pr_auc_macro"] = float(np.mean(precision))
    return metrics


def probe_folds(target: Ints, groups: npt.ArrayLike) -> Ints:
    """Return the fold of each row, by the algorithm of cross-fitting.

    Raises:
        ValueError: one class or one group only.
    """
    n_folds = min(N_FOLDS, int(np.bincount(target).max(initial=0)))
    if len(np.unique(target)) < 2 or pd.Series(groups).nunique() < 2 or n_folds < 2:
        raise ValueError("a probe needs labelled images of two classes and two groups, two images of one class")
    return group_folds(np.asarray(groups), target, n_folds)


def stratified(target: Ints, limit: int) -> Ints:
    """Return at most so many rows, in order, each class in proportion and with at least one; always the same ones.

    >>> len(stratified(np.repeat([0, 1], [90, 10]), 20))
    20
    """
    draw = np.random.default_rng(0).permutation(len(target))
    place = pd.Series(target[draw]).groupby(target[draw]).cumcount().to_numpy()
    share = (place + 0.5) / np.bincount(target)[target[draw]]
    order = np.argsort(np.where(place == 0, 0.0, share), kind="stable")
    return np.asarray(np.sort(draw[order[:limit]]), dtype=np.int64)
