"""Combining members: identities of each rule, learned weights against their optimality conditions, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import gmean, rankdata

from skinlab.evaluation.ensembles.combination import (
    COMBINATIONS,
    combine,
    cross_fit_weights,
    fit_weights,
    rank_reference,
)
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.statistics.folds import group_folds


def systems(m: int = 3, n: int = 200, c: int = 4, seed: int = 0, noise: float = 1.0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, c, n)
    logits = 1.5 * np.eye(c)[target] + noise * rng.normal(size=(m, n, c))
    p = np.exp(logits)
    return p / p.sum(2, keepdims=True), target


@pytest.mark.parametrize("method", ["mean", "geometric", "weighted"])
def test_an_ensemble_of_one_is_itself(method):
    p, _ = systems(m=1)
    p[0, 0] = [0, 0, 0, 1]
    weights = np.array([3.0]) if method == "weighted" else None
    assert np.array_equal(combine(p, method, weights), p[0])


@pytest.mark.parametrize("method", ["mean", "geometric", "rank"])
def test_copies_of_one_member_change_nothing(method):
    p, _ = systems(m=1)
    assert combine(np.repeat(p, 3, axis=0), method) == pytest.approx(combine(p, method))


@pytest.mark.parametrize("method", COMBINATIONS)
def test_the_order_of_members_is_irrelevant(method):
    p, _ = systems(c=2)
    learned = {"weighted": {"weights": np.array([0.2, 0.5, 0.3])}, "overlap": {"thresholds": np.array([0.3, 0.5, 0.6])}}
    kept = learned.get(method, {})
    turned = {name: values[[2, 0, 1]] for name, values in kept.items()}
    got = combine(p, method, **kept)
    assert combine(p[[2, 0, 1]], method, **turned) == pytest.approx(got)
    assert got.sum(1) == pytest.approx(1)
    assert got.min() >= 0


def test_equal_weights_are_the_mean_and_one_weight_is_one_member():
    p, _ = systems()
    assert combine(p, "weighted", np.full(3, 7.0)) == pytest.approx(combine(p, "mean"))
    assert combine(p, "weighted", np.array([0.0, 2.0, 0.0])) == pytest.approx(p[1])


def test_geometric_mean_agrees_with_scipy_and_no_zero_vetoes():
    p, _ = systems()
    want = gmean(p, axis=0)
    assert combine(p, "geometric") == pytest.approx(want / want.sum(1, keepdims=True))
    opposed = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert combine(opposed, "geometric") == pytest.approx(np.array([[0.5, 0.5]]))


def test_rank_by_hand_and_free_of_each_members_scale():
    two = np.array([[[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]], [[0.3, 0.7], [0.3, 0.7], [0.9, 0.1]]])
    # Positive ranks 0, .5, 1 and (a tie) .75, .75, 0; with two classes the rows sum to one by themselves.
    assert combine(two, "rank")[:, 1] == pytest.approx([0.375, 0.625, 0.5])
    p, _ = systems(c=2)
    squeezed = p.copy()
    squeezed[0] = np.stack([1 - p[0, :, 1] ** 3, p[0, :, 1] ** 3], axis=1)
    assert combine(squeezed, "rank") == pytest.approx(combine(p, "rank"))
    assert combine(np.array([[[0.2, 0.8]]]), "rank").tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("decimals", [2, 12])  # with ties and without
def test_ranks_among_the_rows_themselves_are_the_plain_ranks(decimals):
    p = systems()[0].round(decimals)
    ranks = ((rankdata(p, axis=1) - 1) / 199).mean(0)
    want = ranks / ranks.sum(1, keepdims=True)
    assert np.array_equal(combine(p, "rank"), want)
    assert np.array_equal(combine(p, "rank", reference=p), want)
    assert np.array_equal(combine(p, "rank", reference=rank_reference(p)), want)
    each = [combine(p[:, i : i + 1], "rank", reference=p)[0] for i in range(200)]  # whatever else is in the table
    assert np.array_equal(each, want)


def test_a_thousand_order_statistics_stand_for_all_rows():
    p, _ = systems(n=4000)
    reference = rank_reference(p)
    assert reference.shape == (3, 1001, 4)
    assert np.array_equal(reference[:, [0, -1]], np.stack([p.min(1), p.max(1)], 1))
    assert combine(p, "rank", reference=reference) == pytest.approx(combine(p, "rank"), abs=1e-3)


def test_new_rows_beyond_the_reference_are_first_or_last():
    known = np.array([[[0.2, 0.8], [0.4, 0.6], [0.6, 0.4]]])
    new = np.array([[[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]])
    assert combine(new, "rank", reference=known).tolist() == [[0, 1], [0.75, 0.25], [1, 0]]
    nowhere = combine(np.zeros((1, 1, 2)), "rank", reference=known)
    assert nowhere.tolist() == [[0.5, 0.5]]


def test_overlap_is_positive_only_where_every_member_is():
    p, _ = systems(c=2)
    thresholds = np.array([0.4, 0.5, 0.7])
    want = (p[0, :, 1] >= 0.4) & (p[1, :, 1] >= 0.5) & (p[2, :, 1] >= 0.7)
    got = combine(p, "overlap", thresholds=thresholds)
    assert want.any()
    assert not want.all()
    assert np.array_equal(got[:, 1] == 1, want)
    assert set(np.unique(got)) == {0, 1}
    # The reached threshold counts: the same call as an argmax everywhere but at an exact half.
    assert combine(np.array([[[0.5, 0.5]]]), "overlap").tolist() == [[0, 1]]


def test_overlap_trades_sensitivity_for_specificity():
    p, target = systems(c=2, n=500)
    one = classification_metrics(combine(p[:1], "overlap"), target, ["benign", "malignant"])
    all_three = classification_metrics(combine(p, "overlap"), target, ["benign", "malignant"])
    assert all_three["specificity"] > one["specificity"]
    assert all_three["sensitivity"] < one["sensitivity"]


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"method": "median"}, "method=median"),
        ({"method": "mean", "weights": np.ones(3)}, "method=weighted, not mean"),
        ({"method": "mean", "thresholds": np.ones(3)}, "method=overlap, not mean"),
        ({"method": "weighted"}, "needs weights"),
        ({"method": "weighted", "weights": np.ones(2)}, r"weights \(2,\) for 3 members"),
        ({"method": "weighted", "weights": np.array([1.0, -1.0, 1.0])}, "not negative"),
        ({"method": "weighted", "weights": np.zeros(3)}, "at least one above zero"),
        ({"method": "weighted", "weights": np.array([np.nan, 1, 1])}, "not negative"),
        ({"method": "overlap"}, "two classes, got 4"),
        ({"method": "mean", "reference": np.ones((3, 5, 4))}, "a reference .* for method=mean"),
        ({"method": "rank", "reference": np.ones((2, 5, 4))}, r"a reference \(2, 5, 4\) for method=rank"),
    ],
)
def test_settings_that_do_not_fit_are_refused(kept, message):
    with pytest.raises(ValueError, match=message):
        combine(systems()[0], **kept)


def test_members_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(200, 4\)"):
        combine(systems()[0][0])


@pytest.mark.parametrize("seed", range(4))
def test_weights_meet_the_conditions_of_the_optimum(seed):
    p, target = systems(m=5, seed=seed, n=400)
    p[4] = np.random.default_rng(seed).dirichlet(np.ones(4), 400)
    weights = fit_weights(p, target)
    likelihood = p[:, np.arange(400), target]
    # Concave in the weights: no member's mean ratio to the mixture exceeds one, those in use reach it.
    ratio = (likelihood / (weights @ likelihood)).mean(1)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert weights.min() >= 0
    assert ratio.max() <= 1 + 1e-5
    assert ratio[weights > 1e-6] == pytest.approx(1, abs=1e-5)
    oracle = minimize(
        lambda w: -np.log(w @ likelihood).mean(),
        np.full(5, 0.2),
        method="SLSQP",
        bounds=[(1e-9, 1)] * 5,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12},
    )
    assert -np.log(weights @ likelihood).mean() == pytest.approx(oracle.fun, abs=1e-6)


def test_weights_follow_their_members():
    p, target = systems(noise=2.0)
    p[1] = systems(m=1, noise=0.5)[0][0]
    weights = fit_weights(p, target)
    assert weights.argmax() == 1
    assert fit_weights(p[[2, 1, 0]], target) == pytest.approx(weights[[2, 1, 0]], abs=1e-5)
    assert fit_weights(p[:1], target) == pytest.approx([1.0])
    assert np.array_equal(fit_weights(p, target), weights)
    assert fit_weights(np.repeat(p[:1], 2, axis=0), target) == pytest.approx([0.5, 0.5])


def test_weights_need_labels():
    p, target = systems()
    target[5] = -1
    with pytest.raises(ValueError, match="1 of 200 rows has no label"):
        fit_weights(p, target)


def test_cross_fitted_weights_do_not_use_their_own_fold():
    p, target = systems()
    groups = np.arange(200) // 2
    combined = cross_fit_weights(p, target, groups, n_folds=4, seed=3)
    fold = group_folds(groups, target, 4, 3)
    for k in range(4):
        weights = fit_weights(p[:, fold != k], target[fold != k])
        assert combined[fold == k] == pytest.approx(combine(p[:, fold == k], "weighted", weights))
    altered = target.copy()
    altered[fold == 0] = (target[fold == 0] + 1) % 4
    assert not np.allclose(fit_weights(p, altered), fit_weights(p, target))


def test_a_zero_of_a_rounded_table_counts_as_half_a_unit_of_its_last_decimal():
    rounded = np.array([[1.0, 0.0], [0.62, 0.38]])  # the zero was up to 0.005
    other = np.array([[0.31234567891, 0.68765432109], [0.1, 0.9]])
    odds = np.sqrt(0.005 * other[0, 1] / (1.0 * other[0, 0]))
    assert combine(np.stack([rounded, other]), "geometric")[0, 1] == pytest.approx(odds / (1 + odds))
    exact = np.stack([[[1.0, 0.0], [1 / 3, 2 / 3]], other])
    odds = np.sqrt(1e-7 * other[0, 1] / other[0, 0])
    assert combine(exact, "geometric")[0, 1] == pytest.approx(odds / (1 + odds))
    target = np.array([1, 1])
    assert fit_weights(np.stack([rounded, other]), target)[0] >= fit_weights(exact, target)[0]
