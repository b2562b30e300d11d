"""Thresholds: against a search by hand, under weights as under repeated rows, and the optimism of choosing."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_curve

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.folds import group_folds
from skinlab.evaluation.thresholds.choice import (
    choose_threshold,
    choose_thresholds,
    cross_fitted_predictions,
    cross_fitted_shares,
    parse_rule,
    positive_score,
    threshold_interval,
)
from skinlab.evaluation.thresholds.operating import BinaryPredictions
from skinlab.evaluation.thresholds.utility import expected_cost

RULES = ("f1", "cost", "sensitivity>=0.9", "sensitivity>=1", "specificity>=0.8", "specificity>=1")


def rows(n: int, seed: int, *, tied: bool = False, share: float = 0.3):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < share
    truth[:2] = [True, False]
    score = 1 / (1 + np.exp(-rng.normal(truth * 1.5, 1)))
    return (np.round(score, 1) if tied else score), truth


def counts(score, truth, threshold):
    predicted = score >= threshold
    return (predicted & truth).sum(), (predicted & ~truth).sum(), truth.sum(), (~truth).sum()


def by_hand(score, truth, rule, ratio):
    """The set of rows to call, by trying every one."""
    kind, level = parse_rule(rule)
    best, key = None, None
    for threshold in [np.inf, *sorted(set(score), reverse=True)]:
        tp, fp, pos, neg = counts(score, truth, threshold)
        if kind == "sensitivity":
            if tp >= level * pos - 1e-9:
                return score >= threshold
            continue
        if kind == "specificity":
            value = 0.0 if 1 - fp / neg >= level - 1e-12 else -1.0
        else:
            value = 2 * tp / (pos + tp + fp) if kind == "f1" else -(ratio * (pos - tp) + fp)
        if key is None or value >= key:
            best, key = score >= threshold, value
    return best


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_choice_is_the_one_found_by_trying_all(rule, tied, seed):
    score, truth = rows(60, seed, tied=tied)
    threshold = choose_threshold(score, truth, rule, cost_ratio=4)
    assert ((score >= threshold) == by_hand(score, truth, rule, 4)).all()


@pytest.mark.parametrize("tied", [False, True])
def test_best_f1_is_scikit_learn_s(tied):
    score, truth = rows(400, 7, tied=tied)
    precision, recall, _ = precision_recall_curve(truth, score)
    best = np.nanmax(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    predicted = score >= choose_threshold(score, truth, "f1")
    assert f1_score(truth, predicted) == pytest.approx(best)


@pytest.mark.parametrize("rule", RULES)
def test_thresholds_lie_midway_between_neighbours(rule):
    score, truth = rows(80, 3)
    threshold = choose_threshold(score, truth, rule)
    above, below = score[score >= threshold], score[score < threshold]
    if len(above) and len(below):
        assert threshold == pytest.approx((above.min() + below.max()) / 2)


def test_adjacent_floats_are_still_separated_by_a_threshold():
    low = 0.5
    score = np.array([low, np.nextafter(low, 1)])
    assert (score >= choose_threshold(score, np.array([False, True]), "f1")).tolist() == [False, True]


@pytest.mark.parametrize(
    ("rule", "ratio", "predicted"),
    [
        ("f1", 1, True),
        ("sensitivity>=0.95", 1, True),
        ("specificity>=0.95", 1, False),
        ("cost", 1, False),
        ("cost", 9, True),
    ],
)
def test_constant_scores_call_all_or_none_as_documented(rule, ratio, predicted):
    truth = np.array([True, False, False, False, False])
    threshold = choose_threshold(np.full(5, 0.3), truth, rule, cost_ratio=ratio)
    assert bool(np.array(0.3) >= threshold) == predicted
    assert threshold == pytest.approx(0.3)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("tied", [False, True])
def test_weights_are_repeated_rows(rule, tied):
    score, truth = rows(70, 5, tied=tied)
    weights = np.random.default_rng(0).poisson(1, (70, 6)).astype(float)
    got = choose_thresholds(score, truth, rule, weights, cost_ratio=3)
    for b in range(6):
        index = np.repeat(np.arange(70), weights[:, b].astype(int))
        assert got[b] == choose_threshold(score[index], truth[index], rule, cost_ratio=3)
        assert got[b] == choose_threshold(score, truth, rule, cost_ratio=3, weights=weights[:, b])


def test_rows_that_do_not_count_are_no_neighbours():
    score, truth = np.array([0.9, 0.7, 0.5, 0.3, 0.1]), np.array([True, False, True, False, False])
    middle_gone = np.array([1.0, 0, 1, 1, 1])
    assert choose_threshold(score, truth, "sensitivity>=0.5", weights=middle_gone) == pytest.approx(0.7)
    last_gone = np.array([1.0, 1, 1, 0, 0])
    assert choose_threshold(score, truth, "sensitivity>=1", weights=last_gone) == 0.5


def test_a_weighting_without_positives_or_negatives_has_no_threshold():
    score, truth = np.array([0.1, 0.9]), np.array([False, True])
    got = choose_thresholds(score, truth, "f1", np.array([[1.0, 0, 1], [1, 1, 0]]))
    assert np.isnan(got).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("truth", "rule", "message"),
    [
        ([False, False], "f1", "got 0 and 2"),
        ([True, True], "f1", "got 2 and 0"),
        ([True, False], "youden", "sensitivity>=S"),
        ([True, False], "sensitivity>=95", "0 < S <= 1"),
        ([True, False], "sensitivity>=0", "0 < S <= 1"),
    ],
)
def test_mistakes_are_one_line_with_a_remedy(truth, rule, message):
    with pytest.raises(ValueError, match=message) as caught:
        choose_threshold(np.array([0.1, 0.2]), np.array(truth), rule)
    assert "\n" not in str(caught.value)


def test_scores_and_costs_must_be_numbers_with_a_meaning():
    with pytest.raises(ValueError, match="1 scores are not finite"):
        choose_threshold(np.array([0.1, np.nan]), np.array([True, False]), "f1")
    with pytest.raises(ValueError, match="cost_ratio=0"):
        choose_threshold(np.array([0.1, 0.2]), np.array([True, False]), "cost", cost_ratio=0)


def test_the_interval_narrows_with_positives():
    few, many = (threshold_interval(*rows(n, 2), np.arange(n), "sensitivity>=0.9") for n in (200, 6000))
    assert few[0] <= choose_threshold(*rows(200, 2), "sensitivity>=0.9") <= few[1]
    assert np.diff(many) < np.diff(few) / 3
    narrow = threshold_interval(*rows(200, 2), np.arange(200), "sensitivity>=0.9", level=0.8)
    assert few[0] <= narrow[0] <= narrow[1] <= few[1]


def test_few_positives_and_the_best_threshold_have_no_interval():
    score, truth = rows(6000, 2)
    assert threshold_interval(score, truth, np.arange(6000), "f1") is None
    assert threshold_interval(score, truth, np.arange(6000), "cost") is None
    few = np.flatnonzero(truth)[:35]
    rare = np.r_[few, np.flatnonzero(~truth)]
    assert threshold_interval(score[rare], truth[rare], np.arange(len(rare)), "sensitivity>=0.9") is None
    assert threshold_interval(score[rare], truth[rare], np.arange(len(rare)), "specificity>=0.9") is not None


def test_the_interval_goes_by_groups():
    score, truth = rows(400, 4)
    groups = np.arange(400)
    twice = [np.repeat(x, 2) for x in (score, truth, groups)]
    one, same = (threshold_interval(*each, "specificity>=0.9") for each in ((score, truth, groups), twice))
    rowwise = threshold_interval(twice[0], twice[1], np.arange(800), "specificity>=0.9")
    assert same == pytest.approx(one)
    assert np.diff(rowwise) < np.diff(same)


def test_cross_fitted_calls_come_from_the_other_folds():
    score, truth = rows(200, 1)
    groups = np.arange(200) // 2
    predicted, folds = cross_fitted_predictions(score, truth, groups, "f1", seed=2), group_folds(groups, truth, 5, 2)
    for fold in range(5):
        held = folds == fold
        assert (predicted[held] == (score[held] >= choose_threshold(score[~held], truth[~held], "f1"))).all()


def test_cross_fitting_needs_positives_in_more_than_one_group():
    with pytest.raises(ValueError, match="positives"):
        cross_fitted_predictions(np.arange(10) / 10, np.arange(10) == 3, np.arange(10), "f1")


def expected(score, truth, threshold, prevalence, cost_ratio):
    predicted = score >= threshold
    return expected_cost(predicted[truth].mean(), 1 - predicted[~truth].mean(), prevalence, cost_ratio)


def test_least_cost_is_at_the_prevalence_where_it_counts():
    score, truth = rows(4000, 3, share=0.5)
    other, other_truth = rows(4000, 4, share=0.5)
    costs = [
        expected(other, other_truth, choose_threshold(score, truth, "cost", 10, prevalence=share), 0.02, 10)
        for share in (None, 0.02)
    ]
    assert costs[0] > 0.49  # at a threshold for as many positives as negatives nearly all are called
    assert costs[1] < 0.2  # calling none costs 0.2
    cheapest = min(expected(other, other_truth, at, 0.02, 10) for at in np.unique(other))
    assert costs[1] < cheapest + 0.01


@pytest.mark.parametrize("rule", RULES)
def test_a_prevalence_is_that_of_rows_repeated_to_it(rule):
    score, truth = rows(90, 5, tied=True)
    weights = np.where(truth, 3.0, 1.0)
    share = weights[truth].sum() / weights.sum()
    wanted = choose_threshold(score, truth, rule, 4, weights=weights)
    assert choose_threshold(score, truth, rule, 4, prevalence=share) == wanted
    assert choose_threshold(score, truth, rule, 4, prevalence=truth.mean()) == choose_threshold(score, truth, rule, 4)


def test_the_cross_fit_is_for_the_prevalence():
    score, truth = rows(400, 6)
    groups = np.arange(400)
    at = {name: {"cost_ratio": 10.0, "prevalence": share} for name, share in (("own", None), ("rare", 0.02))}
    shares = {name: cross_fitted_shares(score, truth, groups, "cost", **each).mean() for name, each in at.items()}
    assert shares["rare"] < shares["own"] / 3


def test_cross_fitted_shares_depend_little_on_how_the_folds_are_cut():
    score, truth = rows(150, 8, share=0.15)
    f1 = {
        n: [
            BinaryPredictions(cross_fitted_shares(score, truth, np.arange(150), "f1", n_repeats=n, seed=seed), truth)(
                np.ones((150, 1))
            )["f1_positive"][0]
            for seed in range(0, 200, 20)
        ]
        for n in (1, 10)
    }
    assert np.std(f1[10]) < np.std(f1[1]) / 2


def test_same_rows_flatter_a_score_that_knows_nothing():
    rng = np.random.default_rng(0)
    truth, groups = np.arange(150) < 15, np.arange(150)
    differences = []
    for score in rng.random((20, 150)):
        same = f1_score(truth, score >= choose_threshold(score, truth, "f1"))
        differences.append(same - f1_score(truth, cross_fitted_predictions(score, truth, groups, "f1")))
    assert np.mean(differences) > 0.05


def test_optimism_vanishes_with_many_rows():
    score, truth = rows(20_000, 0)
    same = f1_score(truth, score >= choose_threshold(score, truth, "f1"))
    apart = f1_score(truth, cross_fitted_predictions(score, truth, np.arange(20_000), "f1"))
    assert abs(same - apart) < 0.005


def test_the_score_of_some_classes_is_that_of_the_view():
    p = np.random.default_rng(0).dirichlet(np.ones(4), 30)
    ids, classes = np.arange(30).astype(object), list("abcd")
    table = Predictions(classes, p, np.zeros(30, np.int64), ids, ids, ids, np.zeros(30, np.int64))
    for positive in (["b"], ["d", "a"], ["a", "b", "c"]):
        assert np.array_equal(positive_score(p, classes, positive), table.binary(positive).probabilities[:, 1])
    assert positive_score(np.stack([p, p]), classes, ["b"]).shape == (2, 30)


@pytest.mark.parametrize("typed", ["0.3", ">=0.3", "p>0.3", ".3"])
def test_a_number_alone_is_answered_with_the_rule_of_a_fixed_threshold(typed):
    with pytest.raises(ValueError, match=r"a fixed threshold is written p>=0?\.3$"):
        parse_rule(typed)
    with pytest.raises(ValueError, match=r"or a fixed threshold, as in p>=0\.3"):
        parse_rule("p>=150")


@pytest.mark.parametrize("typed", ["30", "p>=30", "p>30", "30 %", "p>=30.0"])
def test_a_threshold_in_percent_is_answered_with_the_share(typed):
    with pytest.raises(ValueError, match=r"a fixed threshold is written p>=0\.3, since 30 % is 0\.3$"):
        parse_rule(typed)


def test_no_rows_have_a_part_in_a_fixed_threshold():
    score, truth = np.array([0.1, 0.4, 0.6, 0.8]), np.array([False, True, False, True])
    assert choose_threshold(score, truth, "p>=0.35") == 0.35
    assert threshold_interval(score, truth, np.arange(4), "p>=0.35") is None
