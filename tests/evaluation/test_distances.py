import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from skinlab.evaluation.distances import BLOCK, neighbour_distance


def features(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6)) + 3


def test_neighbours_are_scikit_learn_s():
    known, new = features(80, 0), features(BLOCK + 3, 1)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (known, new)]
    expected = NearestNeighbors(n_neighbors=3).fit(unit[0]).kneighbors(unit[1])[0][:, 2]
    np.testing.assert_allclose(neighbour_distance(new, known, k=3), expected, atol=1e-7)
    np.testing.assert_allclose(neighbour_distance(new[:9], known, k=80), cdist(unit[1][:9], unit[0]).max(1), atol=1e-7)


def test_known_rows_are_their_own_neighbours_and_length_does_not_matter():
    known = features(20, 0)
    np.testing.assert_allclose(neighbour_distance(3 * known, known, k=1), 0, atol=1e-6)
    assert neighbour_distance(np.empty((0, 6)), known).shape == (0,)
    assert np.isfinite(neighbour_distance(np.zeros((1, 6)), known)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: neighbour_distance(x, x, k=11), "k=11: a number from 1 to .* 10"),
        (lambda x: neighbour_distance(x[:, :2], x), r"\(M, 6\) is expected"),
        (lambda x: neighbour_distance(x[0], x), r"shape \(6,\)"),
        (lambda x: neighbour_distance(x * np.nan, x), "no finite numbers"),
    ],
)
def test_unusable_features_are_refused(call, message: str):
    with pytest.raises(ValueError, match=message):
        call(features(10, 0))
