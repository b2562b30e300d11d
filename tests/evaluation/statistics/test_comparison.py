from dataclasses import replace

import numpy as np

from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.evaluation.statistics.comparison import compare, holm
from skinlab.evaluation.statistics.intervals import Interval


def system(noise: float, seed: int = 0, n: int = 400) -> Predictions:
    truth = np.arange(n) % 4 == 0
    score = truth + noise * np.random.default_rng(seed).normal(size=n)
    p = 1 / (1 + np.exp(-score))
    ids = np.array([f"i{i}" for i in range(n)], object)
    source, fold = np.full(n, "", object), np.full(n, -1)
    return Predictions(["a", "b"], np.stack([1 - p, p], 1), truth.astype(np.int64), ids, ids, source, fold)


def draws_of(predictions: Predictions, n_draws: int = 400):
    scorer = Scorer(predictions.probabilities, predictions.target, predictions.classes)
    return bootstrap(scorer, Resampler(predictions.group, predictions.target), n_draws=n_draws)


def test_a_system_does_not_differ_from_itself():
    own = draws_of(system(1))
    (found,) = compare([("x", own), ("y", own)], ["auroc_macro"])
    assert found.difference.value == found.difference.low == found.difference.high == 0
    assert found.p == 1
    assert found.sentence() == "y and x have the same macro AUROC on every bootstrap sample."


def test_a_clear_difference_is_reported_by_name():
    good, bad = draws_of(system(0.3)), draws_of(system(3))
    (found,) = compare([("bad", bad), ("good", good)], ["auroc_macro"])
    assert (found.a, found.b) == ("good", "bad")
    assert found.difference.low > 0
    assert found.p_holm < 0.05
    assert found.sentence().startswith("good has a higher macro AUROC than bad")


def test_pairing_narrows_the_interval():
    one, other = system(1.5), system(1.5)
    p = np.clip(other.probabilities[:, 1] + 0.01 * np.random.default_rng(2).normal(size=400), 0, 1)
    a, b = draws_of(one), draws_of(other.with_probabilities(np.stack([1 - p, p], 1)))
    (found,) = compare([("x", a), ("y", b)], ["auroc_macro"])
    alone = a.interval("auroc_macro")
    assert found.difference.high - found.difference.low < 0.2 * (alone.high - alone.low)


def test_no_difference_is_rarely_called_one():
    found = 0
    for seed in range(60):
        a, b = draws_of(system(2, seed, 200), 200), draws_of(system(2, 1000 + seed, 200), 200)
        found += compare([("x", a), ("y", b)], ["auroc_macro"])[0].p < 0.05
    assert found <= 8  # 3 are expected


def test_holm_by_hand_and_with_what_has_no_value():
    assert holm([0.01, 0.02, 0.03, 0.005]) == [0.03, 0.04, 0.04, 0.02]
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.01, float("nan")])[0] == 0.01


def test_a_reference_limits_the_pairs():
    three = [(name, draws_of(system(1, i), 100)) for i, name in enumerate("xyz")]
    assert len(compare(three, ["mcc"])) == 3
    assert {(c.a, c.b) for c in compare(three, ["mcc"], reference="x")} == {("y", "x"), ("z", "x")}


def test_an_interval_that_excludes_zero_alone_is_reported_as_valid_alone():
    draws = draws_of(system(1))
    found = replace(compare([("x", draws), ("y", draws)], ["auroc_macro"])[0], p=0.03, p_holm=0.2)
    unclear = replace(found, difference=Interval(0.1, -0.01, 0.2))
    assert "No evidence" in unclear.sentence()
    assert "alone" not in unclear.sentence()
    apart = replace(found, difference=Interval(0.1, 0.01, 0.2))
    assert apart.sentence().endswith("excludes zero, but counts this comparison alone.")
