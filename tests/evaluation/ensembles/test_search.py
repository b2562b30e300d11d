"""The nested search: it finds what is there, gains nothing where nothing is, and refuses what it can't judge."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from skinlab.evaluation.ensembles import search as ensemble_search
from skinlab.evaluation.ensembles.combination import combine
from skinlab.evaluation.ensembles.search import diversity, search_subsets
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.statistics.folds import group_folds

CLASSES = ["nv", "mel", "bcc"]


def systems(signal: list[float], n: int = 240, c: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, c, n)
    logits = np.array(signal)[:, None, None] * np.eye(c)[target] + rng.normal(size=(len(signal), n, c))
    p = np.exp(logits)
    return p / p.sum(2, keepdims=True), target, np.arange(n) // 2


def names(m: int) -> list[str]:
    return [f"m{i}" for i in range(m)]


def test_diversity_by_hand():
    # Right (1) and wrong (0) of two members on ten rows: both right 5, only the first 1, only the second 2, neither 2.
    right = np.array([[1] * 5 + [1] + [0] * 2 + [0] * 2, [1] * 5 + [0] + [1] * 2 + [0] * 2])
    got = diversity(np.stack([1.0 - right, right], axis=2), ["a", "b"], np.ones(10, np.int64))[0]
    assert got["disagreement"] == pytest.approx(0.3)
    assert got["both_wrong"] == pytest.approx(0.2)
    assert got["q_statistic"] == pytest.approx((5 * 2 - 1 * 2) / (5 * 2 + 1 * 2))


def test_error_correlation_agrees_with_scikit_learn_on_every_pair():
    p, target, _ = systems([1.0, 1.0, 2.0])
    wrong = p.argmax(2) != target
    got = diversity(p, names(3), target)
    assert [(pair["a"], pair["b"]) for pair in got] == [("m0", "m1"), ("m0", "m2"), ("m1", "m2")]
    for pair, (i, j) in zip(got, combinations(range(3), 2), strict=True):
        assert pair["error_correlation"] == pytest.approx(matthews_corrcoef(wrong[i], wrong[j]))
        assert pair["disagreement"] == pytest.approx((p[i].argmax(1) != p[j].argmax(1)).mean())


def test_a_member_is_not_diverse_from_itself_and_one_that_never_errs_has_no_correlation():
    p, target, _ = systems([1.0])
    twins = diversity(np.concatenate([p, p]), names(2), target)[0]
    assert twins["disagreement"] == 0
    assert twins["error_correlation"] == pytest.approx(1)
    assert twins["q_statistic"] == pytest.approx(1)
    against = diversity(np.stack([p[0], np.eye(3)[target]]), names(2), target)[0]
    assert np.isnan(against["error_correlation"])
    assert np.isnan(against["q_statistic"])


def test_the_good_members_are_found_in_every_fold():
    p, target, groups = systems([0.0, 2.0, 0.0, 2.0])
    found = search_subsets(p, names(4), target, groups, CLASSES)
    assert found.pair.chosen == ("m1", "m3")
    assert found.pair.folds_agreeing == 5
    # One choice throughout: the nested rows are the pair's own, and there is no optimism.
    assert found.pair.optimism == 0
    assert found.pair.probabilities == pytest.approx(combine(p[[1, 3]]))
    assert found.pair.gain > 0.05
    assert found.exhaustive
    assert found.n_candidates == 4 + 6 + 4


def test_metrics_are_those_of_their_probabilities():
    p, target, groups = systems([1.0, 1.1, 0.9, 1.0])
    found = search_subsets(p, names(4), target, groups, CLASSES, seed=1)

    def metric(q):
        return classification_metrics(q, target, CLASSES)["pr_auc_macro"]

    pairs = {pair: metric(combine(p[list(pair)])) for pair in combinations(range(4), 2)}
    best_pair = max(pairs, key=pairs.__getitem__)
    assert found.pair.chosen == tuple(f"m{i}" for i in best_pair)
    assert found.pair.same_rows == pytest.approx(max(pairs.values()))
    assert found.pair.candidate_mean == pytest.approx(np.mean(list(pairs.values())))
    assert found.all_members == pytest.approx(metric(p.mean(0)))
    alike = combinations(range(4), len(found.subset.chosen))
    assert found.subset.candidate_mean == pytest.approx(np.mean([metric(combine(p[list(subset)])) for subset in alike]))
    for choice in (found.single, found.pair, found.subset):
        assert choice.nested == pytest.approx(metric(choice.probabilities))
        assert choice.optimism == pytest.approx(choice.same_rows - choice.nested)
        assert choice.gain == pytest.approx(choice.nested - choice.candidate_mean)
    fold = group_folds(groups, target, 5, 1)
    for k, pick in enumerate(found.subset.per_fold):
        chosen = p[[int(name[1:]) for name in pick]]
        assert found.subset.probabilities[fold == k] == pytest.approx(combine(chosen)[fold == k])


def test_a_fold_has_no_part_in_its_own_choice():
    p, target, groups = systems([1.0, 1.0, 1.0, 1.0])
    before = search_subsets(p, names(4), target, groups, CLASSES, metric="log_loss")
    held = group_folds(groups, target, 5, 0) == 0
    better = p.copy()
    better[3, held] = np.eye(3)[target[held]] * 0.97 + 0.01
    after = search_subsets(better, names(4), target, groups, CLASSES, metric="log_loss")
    assert after.single.per_fold[0] == before.single.per_fold[0]
    assert after.pair.per_fold[0] == before.pair.per_fold[0]
    assert after.single.per_fold[1:] == (("m3",),) * 4


def test_choosing_among_coins_is_optimistic():
    optimism, gain = [], []
    for seed in range(4):
        p, target, groups = systems([0.0] * 6, n=120, c=2, seed=seed)
        found = search_subsets(p, names(6), target, groups, CLASSES[:2], metric="balanced_accuracy", max_size=2)
        optimism.append(found.pair.optimism)
        gain.append(found.pair.gain)
    assert np.mean(optimism) > 0.03
    assert abs(np.mean(gain)) < np.mean(optimism)


def test_lower_is_better_for_a_loss():
    p, target, groups = systems([0.5, 3.0, 0.5])
    found = search_subsets(p, names(3), target, groups, CLASSES, metric="log_loss")
    assert found.single.chosen == ("m1",)
    assert 0 < found.single.same_rows < found.single.candidate_mean
    assert found.single.gain > 0
    assert found.single.optimism == pytest.approx(found.single.nested - found.single.same_rows)
    assert found.all_members > 0


def test_beyond_pairs_subsets_grow_from_the_best_pair(monkeypatch):
    p, target, groups = systems([0.2, 1.5, 0.2, 1.6, 1.4])
    listed = search_subsets(p, names(5), target, groups, CLASSES)
    monkeypatch.setattr(ensemble_search, "MAX_SUBSETS", 10)
    grown = search_subsets(p, names(5), target, groups, CLASSES)
    assert listed.exhaustive
    assert not grown.exhaustive
    assert grown.n_candidates == 5 + 10 + 3
    assert listed.subset.chosen == grown.subset.chosen == ("m1", "m3", "m4")
    assert grown.pair.chosen == listed.pair.chosen


def test_overlap_is_searched_with_its_members_thresholds():
    p, target, groups = systems([1.0, 2.0, 2.0], c=2)
    thresholds = np.array([0.2, 0.6, 0.7])
    found = search_subsets(
        p, names(3), target, groups, CLASSES[:2], metric="f1_positive", method="overlap", thresholds=thresholds
    )
    f1 = {}
    for pair in combinations(range(3), 2):
        both = combine(p[list(pair)], "overlap", thresholds=thresholds[list(pair)])
        f1[pair] = classification_metrics(both, target, CLASSES[:2])["f1_positive"]
    assert found.pair.same_rows == pytest.approx(max(f1.values()))
    assert found.pair.candidate_mean == pytest.approx(np.mean(list(f1.values())))


def test_equals_go_to_the_smaller_and_first():
    p, target, groups = systems([1.0])
    found = search_subsets(np.repeat(p, 4, axis=0), names(4), target, groups, CLASSES)
    assert found.single.chosen == ("m0",)
    assert found.subset.chosen == ("m0", "m1")


def test_rows_in_another_order_give_the_same_search():
    p, target, groups = systems([1.0, 1.2, 0.8])
    order = np.random.default_rng(1).permutation(len(target))
    one = search_subsets(p, names(3), target, groups, CLASSES)
    two = search_subsets(p[:, order], names(3), target[order], groups[order], CLASSES)
    assert two.subset.per_fold == one.subset.per_fold
    assert two.subset.nested == pytest.approx(one.subset.nested)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"names": ["a", "a", "b"]}, "each with its own name"),
        ({"metric": "accuraci"}, "search=accuraci is no metric; choose one of balanced_accuracy"),
        ({"max_size": 1}, "max_size=1"),
        ({"method": "weighted"}, "method=weighted"),
        ({"target": np.zeros(240, np.int64)}, "all 240 images are nv"),
        ({"target": np.r_[np.ones(2, np.int64), np.zeros(238, np.int64)]}, "all images of mel are in one fold"),
    ],
)
def test_what_cannot_be_judged_is_refused(kept, message):
    p, target, groups = systems([1.0, 1.0, 1.0])
    arguments = {"names": names(3), "target": target, "groups": groups, "classes": CLASSES} | kept
    with pytest.raises(ValueError, match=message):
        search_subsets(p, **arguments)


def test_a_search_needs_two_members():
    p, target, groups = systems([1.0])
    with pytest.raises(ValueError, match="two or more"):
        search_subsets(p, ["a"], target, groups, CLASSES)
