"""Distances of features: scipy and scikit-learn agree, and what must not matter does not."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, mahalanobis
from sklearn import covariance
from sklearn.neighbors import NearestNeighbors

from skinlab.evaluation.novelty import (
    BLOCK,
    fit_mahalanobis,
    ledoit_wolf,
    neighbour_distance,
)


def correlated(n: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(width, width))
    return rng.normal(size=(n, width)) @ mix + 3


def test_without_shrinkage_it_is_scipy_s_mahalanobis():
    known, new = correlated(200, 5, 0), correlated(20, 5, 1)
    inverse = np.linalg.inv(np.cov(known.T, bias=True))
    expected = [mahalanobis(row, known.mean(0), inverse) for row in new]
    np.testing.assert_allclose(fit_mahalanobis(known, shrinkage=0).distance(new), expected, rtol=1e-9)


def test_full_shrinkage_leaves_scaled_euclid():
    known, new = correlated(50, 4, 0), correlated(6, 4, 1)
    expected = np.linalg.norm((new - known.mean(0)) / known.std(0), axis=1)
    np.testing.assert_allclose(fit_mahalanobis(known, shrinkage=1).distance(new), expected)


@pytest.mark.parametrize("shape", [(300, 8), (30, 60)])
def test_shrinkage_is_scikit_learn_s(shape: tuple[int, int]):
    rows = correlated(*shape, 0)
    centred = rows - rows.mean(0)
    assert ledoit_wolf(centred) == pytest.approx(covariance.ledoit_wolf(rows)[1], rel=1e-9)
    scaled = centred / centred.std(0)
    assert fit_mahalanobis(rows).shrinkage == pytest.approx(covariance.ledoit_wolf(scaled)[1], rel=1e-9)


def test_shrunk_distance_is_that_of_scikit_learn_s_covariance():
    known, new = correlated(40, 60, 0), correlated(10, 60, 1)
    scaled = (known - known.mean(0)) / known.std(0)
    oracle = covariance.LedoitWolf(assume_centered=True).fit(scaled)
    expected = np.sqrt(oracle.mahalanobis((new - known.mean(0)) / known.std(0)))
    np.testing.assert_allclose(fit_mahalanobis(known).distance(new), expected, rtol=1e-6)


def test_units_and_offsets_do_not_matter():
    known, new = correlated(100, 4, 0), correlated(10, 4, 1)
    units, offset = np.array([1e-3, 1, 50, 1e4]), np.array([5, -5, 100, 0])
    moved = fit_mahalanobis(known * units + offset).distance(new * units + offset)
    np.testing.assert_allclose(moved, fit_mahalanobis(known).distance(new), rtol=1e-6)


def test_one_class_is_no_class_and_a_class_s_mean_is_at_no_distance():
    known, new = correlated(60, 3, 0), correlated(10, 3, 1)
    plain, single = fit_mahalanobis(known), fit_mahalanobis(known, np.full(60, "nv"))
    np.testing.assert_allclose(single.distance(new), plain.distance(new))
    target = np.repeat(["mel", "nv", "bcc"], 20)
    apart = known + 50 * np.repeat(np.eye(3), 20, axis=0)
    means = np.stack([apart[target == name].mean(0) for name in ("bcc", "mel", "nv")])
    fitted = fit_mahalanobis(apart, target)
    np.testing.assert_allclose(fitted.distance(means), 0, atol=1e-5)
    assert fit_mahalanobis(apart).distance(means).min() > 0.5


def test_a_feature_that_never_varies_counts_for_nothing():
    known, new = correlated(50, 4, 0), correlated(5, 4, 1)
    dead = np.c_[known, np.full(50, 7.0)]
    expected = fit_mahalanobis(known).distance(new)
    np.testing.assert_allclose(fit_mahalanobis(dead).distance(np.c_[new, np.full(5, 9.0)]), expected)


def test_neighbours_are_scikit_learn_s():
    known, new = correlated(80, 6, 0), correlated(BLOCK + 3, 6, 1)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (known, new)]
    expected = NearestNeighbors(n_neighbors=3).fit(unit[0]).kneighbors(unit[1])[0][:, 2]
    np.testing.assert_allclose(neighbour_distance(new, known, k=3), expected, atol=1e-7)
    np.testing.assert_allclose(neighbour_distance(new[:9], known, k=80), cdist(unit[1][:9], unit[0]).max(1), atol=1e-7)


def test_known_rows_are_their_own_neighbours_and_length_does_not_matter():
    known = correlated(20, 6, 0)
    np.testing.assert_allclose(neighbour_distance(3 * known, known, k=1), 0, atol=1e-6)
    assert neighbour_distance(np.empty((0, 6)), known).shape == (0,)
    assert np.isfinite(neighbour_distance(np.zeros((1, 6)), known)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: fit_mahalanobis(x[:1]), "1 rows of features: at least two"),
        (lambda x: fit_mahalanobis(np.ones((5, 2))), "no feature varies"),
        (lambda x: fit_mahalanobis(x, shrinkage=2), "shrinkage=2: a share"),
        (lambda x: fit_mahalanobis(x, np.zeros(3)), r"10 rows of features and a target of shape \(3,\)"),
        (lambda x: fit_mahalanobis(x * np.nan), "no finite numbers"),
        (lambda x: fit_mahalanobis(x).distance(x[:, :2]), r"shape \(10, 2\): \(M, 4\) is expected"),
        (lambda x: fit_mahalanobis(x[0]), r"shape \(4,\): \(N, F\) is expected"),
        (lambda x: neighbour_distance(x, x, k=11), "k=11: a number from 1 to .* 10"),
        (lambda x: neighbour_distance(x[:, :2], x), r"\(M, 4\) is expected"),
    ],
)
def test_mistakes_are_told(call, words: str):
    with pytest.raises(ValueError, match=words):
        call(correlated(10, 4, 0))
