"""Verdicts: none for equal arms, help for a better one, with the variance between trainings."""

import numpy as np
import pytest
from scipy.stats import t as student

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler
from skinlab.evaluation.statistics.comparison import holm
from skinlab.evaluation.statistics.study import (
    HELPS,
    HURTS,
    NONE,
    bootstrap_trainings,
    budget_verdict,
    difference_estimate,
    differences,
    metric_estimate,
    pool_variances,
    study_evidence,
)

METRICS = ["auroc_macro", "brier"]
AGAINST = {"A+": ["A"], "D": ["A+", "A"], "E": ["A+", "A"]}


def tables(gain: float, n_seeds: int = 3, luck: float = 0.02, seed: int = 0) -> dict[object, Predictions]:
    """Predictions of one arm on the same 200 rows, a training a seed."""
    rows, own = np.random.default_rng(99), np.random.default_rng(seed)
    target = np.repeat([0, 1], [150, 50])
    shared = rows.standard_normal(200) + 1.2 * target
    found = {}
    for k in range(n_seeds):
        score = shared + (gain + luck * own.standard_normal()) * target + 0.2 * own.standard_normal(200)
        p = 1 / (1 + np.exp(1 - score))
        names = np.array([f"i{i}" for i in range(200)], object)
        blank = np.full(200, "", object)
        found[0, k] = Predictions(["no", "yes"], np.stack([1 - p, p], 1), target, names, names, blank, np.full(200, -1))
    return found


@pytest.fixture(scope="module")
def arms():
    gains = {"A": 0.0, "A+": 0.0, "D": 1.0, "E": -0.8}
    each = {name: tables(gain, seed=i) for i, (name, gain) in enumerate(gains.items())}
    return {name: bootstrap_trainings(found, METRICS, n_draws=200) for name, found in each.items()}


def found_at(arms, **cells):
    return differences({0.1: cells or arms}, AGAINST, ["D", "E"], METRICS, "auroc_macro")


def test_the_same_arm_is_no_evidence(arms):
    (only, *_) = found_at(arms, **{"A+": arms["A"], "D": arms["A"]})
    assert (only.estimate.value, only.estimate.low, only.estimate.high, only.estimate.p) == (0, 0, 0, 1)
    assert only.verdict == NONE
    assert budget_verdict([only], "x")["verdict"] == NONE


def test_an_interval_ends_at_the_bound_of_the_metric():
    one = BootstrapSamples(
        {"auroc_macro": 0.95, "log_loss": 0.95},
        {name: np.array([0.94, 0.96]) for name in ("auroc_macro", "log_loss")},
        {},
        Resampler([0, 1], np.array([0, 1])),
    )
    other = BootstrapSamples(
        {"auroc_macro": 0.55, "log_loss": 0.55},
        {name: np.array([0.54, 0.56]) for name in ("auroc_macro", "log_loss")},
        {},
        Resampler([0, 1], np.array([0, 1])),
    )
    share, loss = (metric_estimate({0: one, 1: other}, name) for name in ("auroc_macro", "log_loss"))
    assert (share.low, share.high) == (0, 1)
    assert loss.low == 0
    assert loss.high > 2


def test_a_better_arm_helps_and_a_worse_one_hurts(arms):
    found = {(each.a, each.b, each.metric): each for each in found_at(arms)}
    assert found["D", "A+", "auroc_macro"].verdict == HELPS
    assert found["E", "A+", "auroc_macro"].verdict == HURTS
    assert found["A+", "A", "auroc_macro"].verdict == NONE
    for each in found.values():
        if each.verdict == HELPS:
            assert each.estimate.value * (1 if each.metric == "auroc_macro" else -1) > 0, (
                "of the Brier score less is more"
            )
    deciding = {pair for pair, each in found.items() if each.decides}
    assert deciding == {("D", "A+", "auroc_macro"), ("E", "A+", "auroc_macro")}


def test_a_difference_turned_round_is_its_opposite(arms):
    one, other = (difference_estimate(arms[a], arms[b], "auroc_macro") for a, b in (("D", "A"), ("A", "D")))
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.p == pytest.approx(other.p)


def test_holm_runs_over_the_verdicts_and_over_the_rest(arms):
    found = found_at(arms)
    for family in (True, False):
        members = [each for each in found if each.decides is family]
        assert [each.p_holm for each in members] == holm([each.estimate.p for each in members])


def test_without_the_longer_arm_the_verdict_is_against_the_usual_one(arms):
    cells = {name: arms[name] for name in ("A", "D")}
    assert [(each.a, each.b) for each in found_at(arms, **cells) if each.decides] == [("D", "A")]


def test_trainings_that_only_one_arm_has_are_passed_over(arms):
    fewer = {key: each for key, each in arms["D"].items() if key != (0, 2)}
    assert difference_estimate(fewer, arms["A"], "auroc_macro").n == 2
    with pytest.raises(ValueError, match="no fold and seed in common"):
        difference_estimate({(1, 9): arms["D"][0, 0]}, arms["A"], "auroc_macro")


def test_one_training_is_never_a_verdict(arms):
    one = {name: {(0, 0): arms[name][0, 0]} for name in ("A", "D")}
    (each, *_) = found_at(arms, **one)
    assert each.estimate.p < 0.001
    assert each.verdict == NONE
    assert "give several seeds" in budget_verdict([each], "x")["sentence"]


def test_the_interval_is_student_s_over_both_variances():
    draws, per_training = np.array([0.0, 0.2, 0.4]), np.array([0.1, 0.2, 0.3])
    found = pool_variances(draws, per_training)
    rows, trainings = 0.04, 0.01 / 3
    degrees_of_freedom = 2 * ((rows + trainings) / trainings) ** 2
    assert found.standard_error**2 == pytest.approx(rows + trainings)
    assert found.degrees_of_freedom == pytest.approx(degrees_of_freedom)
    assert found.high - found.value == pytest.approx(student.ppf(0.975, degrees_of_freedom) * found.standard_error)
    assert pool_variances(draws, per_training + 1).value == pytest.approx(1.2)
    assert np.isnan(pool_variances(np.full(3, np.nan), per_training).p)


def test_intervals_hold_what_they_promise_where_images_alone_would_not():
    """400 studies of 60 rows and three trainings, whose true difference is 0."""
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for _ in range(400):
        rows, luck = rng.normal(0, 1, 60), rng.normal(0, 0.15, 3)
        values = rows[:, None] + luck + rng.normal(0, 0.5, (60, 3))
        weights = rng.multinomial(60, np.full(60, 1 / 60), 200) / 60
        draws = weights @ values.mean(1)
        found = pool_variances(draws, values.mean(0))
        covered += found.low <= 0 <= found.high
        low, high = np.quantile(draws, [0.025, 0.975])
        naive += low <= 0 <= high
    assert covered / 400 > 0.93
    assert naive / 400 < 0.91


def test_the_evidence_lists_every_budget_from_few_labels_to_many(arms):
    cells = {1.0: {"A": arms["A"], "D": arms["A"]}, 0.1: {"A": arms["A"], "D": arms["D"]}}
    settings = {"against": AGAINST, "deciding": ["D"], "metrics": [*METRICS, "none_such"], "judge_by": "auroc_macro"}
    found = study_evidence(cells, {1.0: 150, 0.1: 15}, **settings, with_pool=[0.1])
    assert [row["labelled"] for row in found["budgets"]] == [15, 150]
    assert [(each["verdict"], each["pool"]) for each in found["verdicts"]] == [(HELPS, True), (NONE, False)]
    first, second = (each["sentence"] for each in found["verdicts"])
    assert first.startswith("10 % of the labels (15 images): the pool helps, by macro AUROC: D minus A is +0.")
    assert second.startswith("All labels (150 images): no evidence that pretraining (nothing is left for a pool)")
    arm = found["budgets"][0]["arms"][1]
    assert list(arm["metrics"]) == METRICS
    assert arm["metrics"]["auroc_macro"]["value"] == pytest.approx(np.mean(arm["spread"]["auroc_macro"]["values"]))


def test_a_metric_of_one_arm_counts_its_trainings(arms):
    found = metric_estimate(arms["D"], "auroc_macro")
    assert found.low < found.value < found.high
    assert found.n == 3
    assert isinstance(arms["D"][0, 0], BootstrapSamples)
