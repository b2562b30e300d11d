"""Scores and orders of unlabeled images, held against brute force and counts by hand."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import entropy

from skinlab.evaluation.mining import (
    UNCERTAINTIES,
    badge_order,
    descending,
    first_of_each,
    k_centre_order,
    mixed,
    points_of_curve,
    uncertainty,
    yield_curve,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("kind", UNCERTAINTIES)
def test_uncertainty_runs_from_none_to_one(kind: str):
    found = uncertainty(np.array([[1.0, 0, 0], [0.8, 0.1, 0.1], [1 / 3] * 3]), kind)
    assert found[0] == 0
    assert 0 < found[1] < 1
    assert found[2] == pytest.approx(1)


def test_uncertainty_is_what_its_name_says(rng):
    p = rng.dirichlet(np.ones(4), 50)
    np.testing.assert_allclose(uncertainty(p, "entropy"), entropy(p.T, base=4))
    first, second = np.sort(p, axis=1)[:, ::-1][:, :2].T
    np.testing.assert_allclose(uncertainty(p, "margin"), 1 - first + second)
    np.testing.assert_allclose(uncertainty(p, "least_confidence"), (1 - first) / (1 - 1 / 4))
    with pytest.raises(ValueError, match="uncertainty=variance: choose entropy"):
        uncertainty(p, "variance")


def test_of_two_classes_all_uncertainties_give_one_order(rng):
    p = rng.random(100)
    orders = [descending(uncertainty(np.stack([p, 1 - p], 1), kind)).tolist() for kind in UNCERTAINTIES]
    assert orders[0] == orders[1] == orders[2] == np.argsort(np.abs(p - 0.5)).tolist()


def test_an_order_shows_a_group_once(rng):
    order, groups = rng.permutation(60), rng.integers(20, size=60)
    kept = first_of_each(order, groups)
    assert sorted(groups[kept]) == sorted(set(groups))
    assert kept.tolist() == [row for i, row in enumerate(order) if groups[row] not in groups[order[:i]]]
    assert first_of_each(order, np.arange(60)).tolist() == order.tolist()


def test_equal_scores_keep_their_order():
    assert descending(np.array([0.5, 0.9, 0.5, 0.9])).tolist() == [1, 3, 0, 2]


def test_a_mixed_order_takes_turns_and_repeats_no_group(rng):
    groups = np.arange(40) // 2
    orders = {name: rng.permutation(40) for name in ("probability", "uncertainty", "diversity")}
    rows, names = mixed(orders, groups, 12)
    assert names == ["probability", "uncertainty", "probability", "diversity"] * 3
    assert len(set(groups[rows])) == 12
    assert rows[0] == orders["probability"][0]
    assert mixed(orders, groups, 8)[0].tolist() == rows[:8].tolist(), "a shorter list is the beginning of a longer"
    assert len(mixed(orders, groups, 99)[0]) == 20, "one a group"
    shown = {name: first_of_each(order, groups)[:12] for name, order in orders.items()}
    assert mixed(shown, groups, 12)[0].tolist() == rows.tolist(), "n of each are enough"


def test_a_mixed_order_goes_on_where_one_is_exhausted():
    orders = {"probability": np.arange(6), "uncertainty": np.array([0]), "diversity": np.array([], np.int64)}
    rows, names = mixed(orders, np.arange(6), 6)
    assert rows.tolist() == list(range(6))
    assert set(names) == {"probability"}


def test_k_centre_takes_the_farthest_each_time(rng):
    points, covered = rng.normal(size=(30, 3)), rng.normal(size=(4, 3))
    order = k_centre_order(points, 30, covered)
    assert sorted(order) == list(range(30))
    for step, row in enumerate(order[:12]):
        centres = np.concatenate([covered, points[order[:step]]])
        nearest = np.linalg.norm(points[:, None] - centres, axis=2).min(1)
        assert nearest[row] == pytest.approx(nearest.max())


@pytest.mark.parametrize("seed", range(5))
def test_k_centre_is_within_twice_the_best_radius(seed: int):
    points, n = np.random.default_rng(seed).normal(size=(10, 2)), 3

    def radius(centres) -> float:
        return float(np.linalg.norm(points[:, None] - points[list(centres)], axis=2).min(1).max())

    best = min(radius(centres) for centres in combinations(range(10), n))
    assert best <= radius(k_centre_order(points, n)) <= 2 * best


def test_k_centre_without_labelled_images_begins_in_the_middle():
    assert k_centre_order(np.array([[0.0], [4], [5], [12]]), 3).tolist() == [2, 3, 0]
    assert k_centre_order(np.zeros((0, 2)), 3).tolist() == []
    assert sorted(k_centre_order(np.ones((3, 2)), 5)) == [0, 1, 2], "equal rows are shown once each"


def test_badge_is_k_means_plus_plus_on_gradients(rng):
    p, features = rng.dirichlet(np.ones(3), 40), rng.normal(size=(40, 5))
    gradients = ((p - np.eye(3)[p.argmax(1)])[:, :, None] * features[:, None]).reshape(40, -1)
    order = badge_order(p, features, 40, seed=3)
    assert sorted(order) == list(range(40))
    assert order[0] == (gradients**2).sum(1).argmax()
    draws = np.array([badge_order(p, features, 2, seed)[1] for seed in range(1500)])
    wanted = ((gradients - gradients[order[0]]) ** 2).sum(1)
    assert np.abs(np.bincount(draws, minlength=40) / 1500 - wanted / wanted.sum()).max() < 0.03
    assert sorted(badge_order(np.tile([1.0, 0], (3, 1)), np.ones((3, 2)), 3)) == [0, 1, 2], "no gradient at all"


def test_yield_is_counted_by_hand():
    curve = yield_curve(np.array([True, True, False, True]), n_positive=5, n_total=20)
    assert curve["labelled"] == [1, 2, 3, 4]
    assert curve["found"] == [1, 2, 2, 3]
    assert curve["random"] == [0.25, 0.5, 0.75, 1.0]
    assert curve["lift"] == [4, 4, pytest.approx(2.6667), 3]
    assert [row["labelled"] for row in points_of_curve(curve, (2, 100))] == [2, 4]
    assert points_of_curve(curve, (2,))[0]["found"] == 2


def test_random_s_interval_is_that_of_random_orders(rng):
    truth = np.arange(200) < 30
    curve = yield_curve(truth[:100], n_positive=30, n_total=200)
    draws = np.array([rng.permutation(truth)[:100].cumsum() for _ in range(4000)])
    np.testing.assert_allclose(draws.mean(0), curve["random"], atol=0.2)
    inside = (draws >= curve["random_low"]) & (draws <= curve["random_high"])
    assert inside.mean(0).min() > 0.94


def test_the_whole_pool_finds_everything_and_lifts_nothing():
    curve = yield_curve(np.array([False, True, False, True]), 2, 4)
    assert (curve["found"][-1], curve["lift"][-1], curve["random_low"][-1], curve["random_high"][-1]) == (2, 1, 2, 2)
    assert np.isnan(yield_curve(np.array([False]), 0, 4)["lift"][0])
    assert yield_curve(np.array([], bool), 1, 4)["found"] == []
    with pytest.raises(ValueError, match="2 of 2 found, but 1 of 4"):
        yield_curve(np.array([True, True]), 1, 4)
