"""Comparisons: pairing, the variance of trainings, Holm's correction, endpoints and margins, against DeLong's test."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.evaluation.statistics.comparison import Comparison, Endpoint, compare
from skinlab.evaluation.statistics.estimates import estimate
from skinlab.evaluation.statistics.hypotheses import Hypothesis
from skinlab.evaluation.statistics.intervals import Variance
from skinlab.evaluation.statistics.p_values import holm
from skinlab.evaluation.statistics.trainings import Trainings, difference_estimate

AUROC = ["auroc_macro"]


def system(noise: float, seed: int = 0, n: int = 400) -> Predictions:
    truth = np.arange(n) % 4 == 0
    score = truth + noise * np.random.default_rng(seed).normal(size=n)
    return table(score, truth)


def table(score: np.ndarray, truth: np.ndarray) -> Predictions:
    n, p = len(truth), 1 / (1 + np.exp(-score))
    ids = np.array([f"i{i}" for i in range(n)], object)
    source, fold = np.full(n, "", object), np.full(n, -1)
    return Predictions(["a", "b"], np.stack([1 - p, p], 1), truth.astype(np.int64), ids, ids, source, fold)


def draws_of(*tables: Predictions, n_draws: int = 100, names=None) -> Trainings:
    """Return the trainings of a recipe, one a table."""
    resampler = Resampler(tables[0].group, tables[0].target)
    scorers = [Scorer(each.probabilities, each.target, each.classes, names=names) for each in tables]
    return Trainings({i: bootstrap(scorer, resampler, n_draws=n_draws) for i, scorer in enumerate(scorers)})


def recipe(rng: np.random.Generator, images: np.ndarray, truth: np.ndarray, seeds: int, luck: float) -> Trainings:
    """Return trainings whose separation of the classes varies with the seed."""
    scores = [images + (1.8 + luck * rng.normal()) * truth + 0.3 * rng.normal(size=len(truth)) for _ in range(seeds)]
    return draws_of(*(table(score, truth) for score in scores), names=AUROC)


def test_a_system_does_not_differ_from_itself():
    own = draws_of(system(1))
    (found,) = compare([("x", own), ("y", own)], AUROC)
    assert found.difference.value == 0
    assert np.isnan([found.difference.low, found.difference.high, found.detectable]).all()
    assert "both are equal on these images" in found.difference.note
    assert found.p == 1
    assert found.sentence() == (
        "y and x have the same macro AUROC on every bootstrap sample: how much the difference varies is not known."
    )


@pytest.mark.parametrize("kind", ["noninferiority", "equivalence"])
def test_equal_predictions_on_few_images_are_no_proof_of_equivalence(kind):
    """Two systems of other probabilities call 30 images alike: that bounds no difference of other images."""
    truth = np.arange(30) % 2 == 0
    score = truth - 0.5 + np.random.default_rng(0).normal(size=30)
    names = ["balanced_accuracy"]
    systems = [
        ("x", draws_of(table(score, truth), names=names)),
        ("y", draws_of(table(1.3 * score, truth), names=names)),
    ]
    (found,) = compare(systems, [], endpoint=Endpoint("balanced_accuracy", Hypothesis(kind, 0.01)))
    assert not found.significant
    assert found.p == 1
    assert found.sentence().startswith("Primary endpoint: ")
    assert "too little for a test of" in found.sentence()


@pytest.mark.parametrize("n", [5, 8])
def test_few_groups_have_no_smaller_p_than_a_sign_test(n):
    """All n images of a class are found by one system and none by the other: McNemar's exact p is 2^(1 - n)."""
    truth = np.arange(60) < n
    scores = -1 + 2.0 * truth, -1 - 0.1 * truth
    systems = [(name, draws_of(table(each, truth), n_draws=2000)) for name, each in zip("ab", scores, strict=True)]
    for found in compare(systems, ["recall/b", "balanced_accuracy"]):
        assert found.p == found.difference.p_floor == 2.0 ** (1 - n), found.metric
        assert found.difference.value == pytest.approx(-1 if found.metric == "recall/b" else -0.5)
        assert "nan" not in found.sentence()
        assert "of 0.000 would be found" not in found.sentence()


def test_a_clear_difference_is_reported_by_name():
    good, bad = draws_of(system(0.3)), draws_of(system(3))
    (found,) = compare([("bad", bad), ("good", good)], AUROC)
    assert (found.a, found.b) == ("good", "bad")
    assert found.difference.low > 0
    assert found.p_holm < 0.05
    assert found.sentence().startswith("good has a higher macro AUROC than bad")
    assert found.sentence().endswith("of these weights (one training each), not of the recipes.")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("metric", ["auroc_macro", "brier"])
@pytest.mark.parametrize("endpoint", [None, Hypothesis("superiority", 0.01), Hypothesis("equivalence", 0.01)])
def test_the_difference_is_that_of_the_system_named_first(order, metric, endpoint):
    both = [("bad", draws_of(system(3))), ("good", draws_of(system(0.3)))][::order]
    (found,) = compare(both, [metric], endpoint=endpoint and Endpoint(metric, endpoint))
    sign = "-" if metric == "brier" else "+"
    ends = sorted((each for each in (found.difference.low, found.difference.high)), key=abs)
    gain = f"{sign}{abs(found.difference.value):.3f} [{', '.join(f'{sign}{abs(each):.3f}' for each in ends)}]"
    if sign == "-":
        gain = f"-{abs(found.difference.value):.3f} [-{abs(ends[1]):.3f}, -{abs(ends[0]):.3f}]"
    if endpoint is None:  # the direction of all tables and pictures
        assert f"than {found.b}: {found.a} minus {found.b} is " in found.sentence()
        assert ("worse" in found.sentence()) == (metric == "brier" and found.a == "bad")
    else:
        assert f": good minus bad is {gain}".replace("-", "\N{MINUS SIGN}") in found.sentence()


def test_of_a_table_of_unknown_origin_the_claim_is_about_its_predictions():
    good, bad = draws_of(system(0.3)), draws_of(system(3))
    (found,) = compare([("bad", bad), ("good", good)], AUROC, of_tables=["bad"])
    assert found.sentence().endswith(", of these predictions alone.")
    assert found.to_dict()["claim"] == "predictions"
    rng, truth = np.random.default_rng(1), np.repeat([0.0, 1.0], [300, 100])
    images = rng.normal(size=400)
    several, one = recipe(rng, images, truth, 3, 0.2), recipe(rng, images, truth, 1, 0.2)
    (mixed,) = compare([("theirs", one), ("several", several)], AUROC, of_tables=["theirs"])
    assert ", of these predictions of theirs alone." in mixed.sentence()


def test_pairing_narrows_the_interval():
    one, other = system(1.5), system(1.5)
    p = np.clip(other.probabilities[:, 1] + 0.01 * np.random.default_rng(2).normal(size=400), 0, 1)
    a, b = draws_of(one), draws_of(other.with_probabilities(np.stack([1 - p, p], 1)))
    (found,) = compare([("x", a), ("y", b)], AUROC)
    alone = a.mean().interval("auroc_macro")
    assert found.difference.high - found.difference.low < 0.2 * (alone.high - alone.low)


def test_no_difference_is_rarely_called_one():
    found = 0
    for seed in range(60):
        a, b = draws_of(system(2, seed, 200), names=AUROC), draws_of(system(2, 1000 + seed, 200), names=AUROC)
        found += compare([("x", a), ("y", b)], AUROC)[0].p < 0.05
    assert found <= 8  # 3 are expected


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
def test_two_identical_recipes_of_three_seeds_are_rarely_called_different(paired):
    """120 comparisons; SD between seeds .022, which images alone take for a difference in most of them."""
    rng, n, found, images_alone = np.random.default_rng(0), 120, 0, 0
    truth = np.repeat([0.0, 1.0], [400, 100])
    spread = []
    for _ in range(n):
        images = rng.normal(size=len(truth))
        a, b = (recipe(rng, images, truth, 3, 0.16) for _ in range(2))
        if not paired:
            b = Trainings({key + 10: each for key, each in b.samples.items()})
        each = difference_estimate(a, b, "auroc_macro")
        spread += [np.var(a.values("auroc_macro"), ddof=1), np.var(b.values("auroc_macro"), ddof=1)]
        found += each.p <= 0.05
        images_alone += abs(each.value) > 1.96 * each.variance_rows**0.5
    assert np.mean(spread) ** 0.5 == pytest.approx(0.022, abs=0.004)
    assert found / n <= 0.07
    assert images_alone / n > 0.4


def test_images_and_trainings_both_count():
    rng = np.random.default_rng(1)
    truth = np.repeat([0.0, 1.0], [300, 100])
    images = rng.normal(size=400)
    a, b = (recipe(rng, images, truth, 3, 0.2) for _ in range(2))
    found = difference_estimate(a, b, "auroc_macro")
    pairs = np.subtract(a.values("auroc_macro"), b.values("auroc_macro"))
    assert found.paired
    assert found.variance_trainings == pytest.approx(pairs.var(ddof=1) / 3)
    assert found.standard_error**2 == pytest.approx(found.variance_rows + found.variance_trainings)
    others = Trainings({key + 3: each for key, each in b.samples.items()})
    apart = difference_estimate(a, others, "auroc_macro")
    sums = [np.var(each.values("auroc_macro"), ddof=1) / 3 for each in (a, b)]
    assert not apart.paired
    assert apart.variance_trainings == pytest.approx(sum(sums))
    assert (apart.value, apart.variance_rows) == pytest.approx((found.value, found.variance_rows))


def test_with_one_training_of_a_system_the_claim_is_about_its_weights():
    rng, truth = np.random.default_rng(1), np.repeat([0.0, 1.0], [300, 100])
    images = rng.normal(size=400)
    several, one = recipe(rng, images, truth, 3, 0.2), recipe(rng, images, truth, 1, 0.2)
    (mixed,) = compare([("one", one), ("several", several)], AUROC)
    assert "of the weights of one (one training), not of its recipe" in mixed.sentence()
    assert mixed.to_dict()["claim"] == "weights"
    (both,) = compare([("x", several), ("y", recipe(rng, images, truth, 3, 0.2))], AUROC)
    assert "images and 3 trainings each counted" in both.sentence()
    assert both.to_dict()["claim"] == "recipe"
    assert both.to_dict()["variance_trainings"] > 0


def test_folds_count_as_trainings_that_share_images():
    """Nadeau and Bengio (2003): 1/k + 1/(K - 1) of the variance between folds, instead of 1/k."""
    alone, folds = Trainings({}), Trainings({}, 1 / 4)
    values = [0.1, 0.2, 0.4, 0.3, 0.5]
    ratio = folds.part(values)[0].value / alone.part(values)[0].value
    assert ratio == pytest.approx((1 / 5 + 1 / 4) / (1 / 5))


def delong_variance(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return DeLong's (1988) variance of the difference of two AUROCs, for scores ``(2, N)``."""
    wins = [(s[truth][:, None] > s[~truth]) + 0.5 * (s[truth][:, None] == s[~truth]) for s in scores]
    difference = wins[0] - wins[1]
    return difference.mean(1).var(ddof=1) / truth.sum() + difference.mean(0).var(ddof=1) / (~truth).sum()


@pytest.mark.parametrize("n", [200, 390])
def test_the_standard_error_of_a_paired_auroc_difference_is_delong_s(n):
    one, other = system(1.2, 0, n), system(1.5, 1, n)
    found = difference_estimate(draws_of(one), draws_of(other), "auroc_macro")
    scores, truth = np.stack([each.probabilities[:, 1] for each in (one, other)]), one.target == 1
    expected = delong_variance(scores, truth)
    assert found.variance_rows == pytest.approx(expected)
    p = 2 * norm.sf(abs(found.value) / expected**0.5)
    assert found.p == pytest.approx(max(p, found.p_floor), abs=0.01)


def test_holm_by_hand_and_with_what_has_no_value():
    assert holm([0.01, 0.02, 0.03, 0.005]) == [0.03, 0.04, 0.04, 0.02]
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.01, float("nan")])[0] == 0.01


def test_a_reference_limits_the_pairs():
    three = [(name, draws_of(system(1, i))) for i, name in enumerate("xyz")]
    assert len(compare(three, ["mcc"])) == 3
    assert {(c.a, c.b) for c in compare(three, ["mcc"], reference="x")} == {("y", "x"), ("z", "x")}


def test_an_interval_that_excludes_zero_alone_is_reported_as_valid_alone():
    draws = draws_of(system(1))
    found = replace(compare([("x", draws), ("y", draws)], AUROC)[0], p=0.03, p_holm=0.2)
    unclear = replace(found, difference=estimate(0.1, [Variance(0.01, np.inf)], n=1, n_draws=2000))
    assert "No evidence" in unclear.sentence()
    assert "alone" not in unclear.sentence()
    apart = replace(found, difference=estimate(0.1, [Variance(0.001, np.inf)], n=1, n_draws=2000))
    assert apart.sentence().endswith("excludes zero, but counts this comparison alone.")


def test_a_p_at_the_floor_of_the_samples_is_written_as_a_bound():
    (found,) = compare(
        [("bad", draws_of(system(3), n_draws=2000)), ("good", draws_of(system(0.3), n_draws=2000))], AUROC
    )
    assert found.p == found.difference.p_floor == pytest.approx(2 / 2001)
    assert "corrected p ≤ 0.001" in found.sentence()
    assert found.to_dict()["p_floor"] == found.p


def test_too_few_groups_have_no_p_and_say_so():
    found = compare([("x", draws_of(system(1, 0, 12))), ("y", draws_of(system(2, 1, 12)))], AUROC)[0]
    assert np.isnan([found.p, found.difference.low]).all()
    assert "can't be compared by macro AUROC: no interval: 3 groups of" in found.sentence()


def against(kind: str, margin: float, value: float, sd: float, metric: str = "auroc_macro") -> Comparison:
    """Return a comparison with a known difference and standard error."""
    hypothesis = Hypothesis(kind, margin)
    found = estimate(value, [Variance(sd**2, np.inf)], n=1, n_draws=2000)
    p = hypothesis.p_value(found, metric)
    return Comparison("new", "old", metric, found, (1, 1), p, p, 0.1, hypothesis, "primary")


@pytest.mark.parametrize(
    ("kind", "value", "sd", "significant", "words"),
    [
        ("noninferiority", -0.005, 0.005, True, "new is not inferior to old by 0.02 or more"),
        ("noninferiority", -0.015, 0.005, False, "no evidence that new is not inferior to old by 0.02 or more"),
        ("noninferiority", 0.1, 0.01, True, "new is not inferior"),
        ("equivalence", 0.005, 0.005, True, "new and old are equivalent within 0.02"),
        ("equivalence", 0.1, 0.01, False, "no evidence that new and old are equivalent within 0.02"),
        ("superiority", 0.05, 0.01, True, "new is better than old by more than 0.02"),
        ("superiority", -0.05, 0.01, True, "old is better than new by more than 0.02"),
        ("superiority", 0.03, 0.01, False, "no evidence that new is better than old by more than 0.02"),
    ],
)
def test_a_margin_is_tested_by_the_same_interval(kind, value, sd, significant, words):
    found = against(kind, 0.02, value, sd)
    low, high = found.difference.low, found.difference.high
    by_interval = {
        "noninferiority": low > -0.02,
        "equivalence": low > -0.02 and high < 0.02,
        "superiority": low > 0.02 or high < -0.02,
    }
    assert found.significant is significant is by_interval[kind]
    assert words in found.sentence()


def test_a_margin_of_a_loss_is_one_of_its_increase():
    assert against("noninferiority", 0.02, 0.005, 0.005, "brier").significant
    assert not against("noninferiority", 0.02, 0.05, 0.005, "brier").significant


def test_the_primary_endpoint_alone_carries_a_claim_and_a_correction_of_its_own():
    systems = [("bad", draws_of(system(3))), ("good", draws_of(system(0.3)))]
    first, *others = compare(systems, ["brier", "auroc_macro", "mcc"], endpoint=Endpoint("auroc_macro"))
    assert (first.metric, first.role) == ("auroc_macro", "primary")
    assert first.p_holm == pytest.approx(first.p), "the secondary endpoints don't count"
    assert first.sentence().startswith("Primary endpoint: good has a higher macro AUROC")
    assert {each.role for each in others} == {"secondary"}
    assert all(each.sentence().startswith("Secondary endpoint") and "better" not in each.sentence() for each in others)


def test_the_reference_is_what_a_system_is_not_inferior_to():
    systems = [("new", draws_of(system(1, 0))), ("old", draws_of(system(1, 1)))]
    endpoint = Endpoint("auroc_macro", Hypothesis("noninferiority", 0.05))
    (found,) = compare(systems, [], reference="old", endpoint=endpoint)
    assert (found.a, found.b) == ("new", "old")
