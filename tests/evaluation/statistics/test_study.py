"""Verdicts: none for equal arms, help for a better one, with the variance between trainings."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples
from skinlab.evaluation.statistics.comparison import compare
from skinlab.evaluation.statistics.estimates import estimate
from skinlab.evaluation.statistics.intervals import Variance
from skinlab.evaluation.statistics.p_values import holm
from skinlab.evaluation.statistics.study import bootstrap_trainings, pooled_sd, study_evidence
from skinlab.evaluation.statistics.trainings import Trainings, difference_estimate, metric_estimate
from skinlab.evaluation.statistics.verdicts import (
    HELPS,
    HURTS,
    NO_VERDICT,
    NONE,
    Controls,
    budget_verdict,
    differences_and_verdicts,
)

METRICS = ["auroc_macro", "brier"]
CONTROLS = {"A+": Controls(compared=["A"]), "D": Controls("C", ["A+", "A"]), "E": Controls("A+", ["A+", "A"])}


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
    gains = {"A": 0.0, "A+": 0.0, "C": 0.0, "D": 1.0, "E": -0.8}
    each = {name: tables(gain, seed=i) for i, (name, gain) in enumerate(gains.items())}
    return {name: bootstrap_trainings(found, METRICS, n_draws=200) for name, found in each.items()}


def found_at(arms, **cells):
    return differences_and_verdicts({0.1: cells or arms}, CONTROLS, METRICS, "auroc_macro", [0.1])


def test_the_same_arm_is_no_evidence(arms):
    found, verdicts = found_at(arms, **{"A+": arms["A"], "A": arms["A"], "C": arms["A"], "D": arms["A"]})
    only = next(each for each in found if each.a == "D")
    assert (only.estimate.value, only.estimate.p) == (0, 1)
    assert np.isnan([only.estimate.low, only.estimate.high]).all()
    assert only.finding == NONE
    assert budget_verdict(verdicts, "x", "auroc_macro")["verdict"] == NONE


def test_an_interval_stays_within_the_bounds_of_the_metric(arms):
    near_one = {key: replace_auroc(each, 0.999 - 0.03 * i) for i, (key, each) in enumerate(arms["D"].samples.items())}
    found = metric_estimate(Trainings(near_one), "auroc_macro")
    assert 0 < found.low < found.value < found.high < 1


def replace_auroc(samples: BootstrapSamples, value: float) -> BootstrapSamples:
    return replace(samples, estimate=samples.estimate | {"auroc_macro": value})


def test_a_better_arm_helps_and_a_worse_one_hurts(arms):
    found, verdicts = found_at(arms)
    assert {each.arm: each.verdict for each in verdicts} == {"D": HELPS, "E": HURTS}
    rows = {(each.a, each.b, each.metric): each for each in found}
    assert rows["D", "A+", "auroc_macro"].finding == "better"
    assert rows["E", "A+", "auroc_macro"].finding == "worse"
    assert rows["A+", "A", "auroc_macro"].finding == NONE
    for each in rows.values():
        if each.finding == "better":
            assert each.estimate.value * (1 if each.metric == "auroc_macro" else -1) > 0, (
                "of the Brier score less is more"
            )
    deciding = {pair[:2] for pair, each in rows.items() if each.decides}
    assert deciding == {("D", "C"), ("D", "A+"), ("D", "A"), ("E", "A+"), ("E", "A")}


@pytest.mark.parametrize("equal", ["A", "A+", "C"])
def test_a_gain_over_two_controls_of_three_is_no_help(arms, equal):
    _, verdicts = found_at(arms, **{name: arms["D" if name == equal else name] for name in ("A", "A+", "C", "D")})
    assert [each.verdict for each in verdicts] == [NONE]


@pytest.mark.parametrize("missing", ["A", "A+", "C"])
def test_without_a_control_there_is_no_verdict_and_it_is_named(arms, missing):
    _, verdicts = found_at(arms, **{name: arms[name] for name in ("A", "A+", "C", "D") if name != missing})
    said = budget_verdict(verdicts, "x", "auroc_macro")
    assert said["verdict"] == NO_VERDICT
    assert f"D: no verdict, since {missing} is missing" in said["sentence"]


def test_where_nothing_is_left_for_a_pool_the_recipe_without_it_is_no_control(arms):
    cells = {name: arms[name] for name in ("A", "A+", "D")}
    _, verdicts = differences_and_verdicts({1.0: cells}, CONTROLS, METRICS, "auroc_macro", [])
    assert [each.verdict for each in verdicts] == [HELPS]


def test_a_verdict_has_the_largest_p_of_its_controls_and_holm_counts_the_verdicts(arms):
    found, verdicts = found_at(arms)
    for each in verdicts:
        own = [row for row in found if row.decides and row.a == each.arm]
        assert each.p == max(row.estimate.p for row in own)
        assert each.p_holm == pytest.approx(max(row.p_holm for row in own))
    assert [each.p_holm for each in verdicts] == holm([each.p for each in verdicts])
    others = [row for row in found if not row.decides]
    assert [row.p_holm for row in others] == holm([row.estimate.p for row in others])


def test_the_page_of_a_budget_has_the_study_s_differences(arms):
    found, _ = found_at(arms)
    systems = [(name, arms[name]) for name in ("A", "D")]
    (pair,) = compare(systems, ["auroc_macro"])
    assert pair.difference == next(each.estimate for each in found if (each.a, each.b) == ("D", "A"))


def test_a_difference_turned_round_is_its_opposite(arms):
    one, other = (difference_estimate(arms[a], arms[b], "auroc_macro") for a, b in (("D", "A"), ("A", "D")))
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.p == pytest.approx(other.p)


def test_trainings_that_only_one_arm_has_are_passed_over(arms):
    fewer = Trainings({key: each for key, each in arms["D"].samples.items() if key != (0, 2)})
    assert difference_estimate(fewer, arms["A"], "auroc_macro").n == 2
    others = Trainings({(1, key[1]): each for key, each in arms["D"].samples.items()})
    apart = difference_estimate(others, arms["A"], "auroc_macro")
    assert (apart.n, apart.paired) == (3, False), "without common seeds the variances of both add"


def test_one_training_is_never_a_verdict(arms):
    one = {name: Trainings({(0, 0): arms[name].samples[0, 0]}) for name in ("A", "A+", "C", "D")}
    found, verdicts = found_at(arms, **one)
    assert next(each for each in found if each.a == "D").estimate.p < 0.02
    assert [each.verdict for each in verdicts] == [NO_VERDICT]
    assert "give several seeds" in budget_verdict(verdicts, "x", "auroc_macro")["sentence"]


def test_the_critical_value_weighs_those_of_images_and_trainings():
    """Cochran and Cox (1950); two trainings have squares of the quantiles, so that small variances don't deceive."""
    rows, trainings, value = 0.04, 0.01 / 3, 0.2
    found = estimate(value, [Variance(rows, np.inf), Variance(trainings, 2)], n=3, n_draws=2000)
    standard_error = (rows + trainings) ** 0.5
    critical = (rows * student.ppf(0.975, np.inf) + trainings * student.ppf(0.975, 2)) / (rows + trainings)
    assert found.standard_error == pytest.approx(standard_error)
    assert found.high - found.value == pytest.approx(critical * standard_error)
    at_end = estimate(critical * standard_error, found.parts, n=3, n_draws=2000)
    assert (at_end.low, at_end.p) == pytest.approx((0, 0.05), abs=1e-6)
    two = estimate(value, [Variance(rows, np.inf), Variance(trainings, 1)], n=2, n_draws=2000)
    squares = rows * student.ppf(0.975, np.inf) ** 2 + trainings * student.ppf(0.975, 1) ** 2
    assert two.high - two.value == pytest.approx(squares**0.5)


def test_intervals_hold_what_they_promise_where_images_alone_would_not():
    """400 studies of 60 rows and three trainings, whose true difference is 0."""
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for _ in range(400):
        rows, luck = rng.normal(0, 1, 60), rng.normal(0, 0.15, 3)
        values = rows[:, None] + luck + rng.normal(0, 0.5, (60, 3))
        images = Variance(values.mean(1).var(ddof=1) / 60, 59)
        trainings = Variance(values.mean(0).var(ddof=1) / 3, 2)
        found = estimate(values.mean(), [images, trainings], n=3, n_draws=2000)
        covered += found.low <= 0 <= found.high
        naive += abs(found.value) <= 1.96 * images.value**0.5
    assert covered / 400 > 0.93
    assert naive / 400 < 0.91


def test_the_evidence_lists_every_budget_from_few_labels_to_many(arms):
    usual = dict.fromkeys(("A", "A+", "C"), arms["A"])
    cells = {1.0: usual | {"D": arms["A"]}, 0.1: usual | {"D": arms["D"]}}
    settings = {"controls": CONTROLS, "metrics": [*METRICS, "none_such"], "judge_by": "auroc_macro"}
    found = study_evidence(cells, {1.0: 150, 0.1: 15}, **settings, with_pool=[0.1])
    assert [row["labelled"] for row in found["budgets"]] == [15, 150]
    assert [(each["verdict"], each["pool"]) for each in found["verdicts"]] == [(HELPS, True), (NONE, False)]
    first, second = (each["sentence"] for each in found["verdicts"])
    assert first.startswith("10 % of the labels (15 images): the pool helps, by macro AUROC: D: helps (minus C +0.")
    assert "for all together" in first
    assert second.startswith("All labels (150 images): no evidence that pretraining (nothing is left for a pool)")
    assert found["verdicts"][0]["arms"][0]["controls"] == ["C", "A+", "A"]
    arm = found["budgets"][0]["arms"][3]
    assert list(arm["metrics"]) == METRICS
    assert arm["metrics"]["auroc_macro"]["value"] == pytest.approx(np.mean(arm["spread"]["auroc_macro"]["values"]))
    sds = [each["spread"]["auroc_macro"]["sd"] for each in found["budgets"][0]["arms"]]
    assert found["budgets"][0]["seed_sd"]["auroc_macro"] == pytest.approx(np.mean(np.square(sds)) ** 0.5)
    assert np.isnan(pooled_sd([[0.1], [0.2]]))


def test_a_metric_of_one_arm_counts_its_trainings(arms):
    found = metric_estimate(arms["D"], "auroc_macro")
    assert found.low < found.value < found.high
    assert found.n == 3
    assert isinstance(arms["D"].samples[0, 0], BootstrapSamples)
