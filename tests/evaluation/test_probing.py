"""Probes of features whose classes are apart, mixed, rare, or alone."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from skinlab.evaluation.probing import (
    NEIGHBOURS,
    TEMPERATURE,
    linear_scores,
    neighbour_scores,
    probe_folds,
    probe_metrics,
    stratified,
)


def clouds(distance: float, counts=(60, 30, 10), dimensions: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Classes that lie apart in one direction each."""
    rng = np.random.default_rng(0)
    target = np.repeat(np.arange(len(counts)), counts)
    return rng.normal(size=(len(target), dimensions)) + distance * np.eye(dimensions)[target], target


def test_the_vote_is_scikit_learn_s_but_for_the_prior():
    features, target = clouds(2.0)
    known, queries = features[::2], features[1::2]
    oracle = KNeighborsClassifier(
        NEIGHBOURS, metric="cosine", algorithm="brute", weights=lambda distance: np.exp(-distance / TEMPERATURE)
    ).fit(known, target[::2])
    share = np.bincount(target[::2]) / len(known)
    scores = neighbour_scores(known, target[::2], queries, 3)
    np.testing.assert_allclose(scores * share, oracle.predict_proba(queries), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(neighbour_scores(7 * known, target[::2], queries / 3, 3), scores)


def test_separate_classes_have_a_high_score_and_mixed_ones_a_low_one():
    far, near = (probe_metrics(*clouds(distance), np.arange(100), 3) for distance in (12.0, 0.0))
    assert all(value > 0.97 for value in far.values())
    assert near["knn_balanced_accuracy"] < 0.5
    assert near["linear_balanced_accuracy"] < 0.5
    assert set(near) == {f"{k}_{n}" for k in ("knn", "linear") for n in ("balanced_accuracy", "pr_auc_macro")}


def test_a_copy_in_the_same_group_does_not_help():
    features, target = clouds(0.0)
    doubled, twice = np.concatenate([features] * 2), np.concatenate([target] * 2)
    apart = probe_metrics(doubled, twice, np.arange(200), 3)
    together = probe_metrics(doubled, twice, np.tile(np.arange(100), 2), 3)
    assert apart["knn_balanced_accuracy"] > 0.7 > 0.5 > together["knn_balanced_accuracy"]


def test_a_class_missing_in_what_is_known_gets_nothing():
    features, target = clouds(3.0)
    scores = linear_scores(features[:90], target[:90], features[90:], 3)
    assert (scores[:, 2] == 0).all()
    assert (linear_scores(features[:60], target[:60], features[60:], 3) == [1, 0, 0]).all()
    assert (neighbour_scores(features[:5], target[:5], features[60:], 3).argmax(1) == 0).all()


def test_folds_keep_groups_whole_and_are_fewer_where_groups_are():
    target, groups = np.tile([0, 1], 20), np.repeat(["a", "b", "c"], [20, 10, 10])
    folds = probe_folds(target, groups)
    assert folds.max() == 2
    assert all(len(set(folds[groups == name])) == 1 for name in "abc")
    assert probe_folds(np.array([0, 0, 0, 1, 1]), range(5)).max() == 2, "no more folds than images of the largest class"
    for bad in ((np.zeros(4, int), [1, 2, 3, 4]), (np.array([0, 1]), ["a", "a"]), (np.zeros(0, int), [])):
        with pytest.raises(ValueError, match="two classes and two groups"):
            probe_folds(*bad)


def test_a_sample_has_every_class_and_is_always_the_same():
    target = np.repeat([0, 1, 2], [900, 95, 5])
    rows = stratified(target, 100)
    assert np.bincount(target[rows]).tolist() in ([90, 9, 1], [89, 10, 1], [90, 8, 2], [89, 9, 2])
    assert np.array_equal(rows, stratified(target, 100))
    assert np.array_equal(stratified(target, 10**6), np.arange(1000))
    assert len(set(target[stratified(target, 3)])) == 3


def test_features_that_are_no_numbers_are_refused():
    features, target = clouds(1.0)
    features[3, 2] = np.nan
    with pytest.raises(ValueError, match="no finite numbers"):
        probe_metrics(features, target, np.arange(100), 3)
