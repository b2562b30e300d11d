"""The rule for the called class: identities, choice on some rows and paired differences on others, refusals."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from skinlab.evaluation.evidence.decision import decision_evidence
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds.decision import (
    DECIDE_BY,
    Decision,
    DecisionSettings,
    choose_decision,
    cross_fitted_calls,
    parse_decision,
)

CLASSES = ["nv", "mel", "df"]
SHARES = np.array([0.8, 0.15, 0.05])


def rows(n: int = 900, seed: int = 0, prefix: str = "i") -> Predictions:
    """Calibrated predictions of skewed classes: the posterior of three normal distributions."""
    rng = np.random.default_rng(seed)
    target = rng.choice(3, size=n, p=SHARES)
    x = rng.normal(size=(n, 2)) + np.array([[0, 0], [1.5, 0], [0, 1.5]])[target]
    logits = np.stack([np.zeros(n), 1.5 * x[:, 0] - 1.125, 1.5 * x[:, 1] - 1.125], 1) + np.log(SHARES)
    p = np.exp(logits)
    ids = np.array([f"{prefix}{i}" for i in range(n)], object)
    empty = np.full(n, "", object)
    return Predictions(CLASSES, p / p.sum(1, keepdims=True), target, ids, ids, empty, np.full(n, -1))


def test_a_power_of_zero_and_equal_costs_are_the_most_probable_class():
    table = rows()
    argmax = table.probabilities.argmax(1)
    for how in (
        DecisionSettings("argmax"),
        DecisionSettings("prior:0"),
        DecisionSettings("cost", positive=["mel"], cost_ratio=1.0),
    ):
        assert (choose_decision(table, how, "val")(table.probabilities, CLASSES) == argmax).all()


def test_a_power_of_one_is_the_posterior_at_equal_shares():
    table = rows()
    decision = choose_decision(table, DecisionSettings("prior:1", prior=SHARES.tolist()), "val")
    assert (decision(table.probabilities, CLASSES) == (table.probabilities / SHARES).argmax(1)).all()
    assert (decision(table.probabilities[:, ::-1], CLASSES[::-1]) == 2 - decision(table.probabilities, CLASSES)).all()
    assert decision.rows == {}  # nothing was learned from the rows


@pytest.mark.parametrize("prior", [None, SHARES.tolist()])
def test_costs_are_those_at_the_stated_prevalence(prior):
    table, positive = rows(4000), [CLASSES[-1]]
    truth, own = table.target == 2, float((table.target == 2).mean())

    def expected_cost(prevalence):
        how = DecisionSettings("cost", cost_ratio=5.0, positive=positive, prior=prior, prevalence=prevalence)
        called = choose_decision(table, how, "val")(table.probabilities, CLASSES) == 2
        return 5 * 0.01 * (~called[truth]).mean() + 0.99 * called[~truth].mean()

    assert expected_cost(0.01) < 0.7 * expected_cost(None)
    assert expected_cost(own) == pytest.approx(expected_cost(None), rel=0.1)


def test_of_two_classes_the_weights_are_a_threshold():
    p = np.linspace(0.01, 0.99, 50)
    decision = Decision("thresholds", "f1_macro", ["nv", "mel"], [1.0, 3.0])
    assert (decision(np.stack([1 - p, p], 1), ["nv", "mel"]) == (p > 0.25)).all()


@pytest.mark.parametrize("rule", ["prior:auto", "thresholds"])
@pytest.mark.parametrize("by", DECIDE_BY)
def test_what_is_chosen_raises_its_metric_on_the_rows_of_the_choice(rule, by):
    table = rows()
    score = {
        "balanced_accuracy": sk.balanced_accuracy_score,
        "accuracy": sk.accuracy_score,
        "f1_macro": lambda truth, called: sk.f1_score(truth, called, average="macro"),
    }[by]
    called = choose_decision(table, DecisionSettings(rule, by), "val")(table.probabilities, CLASSES)
    assert score(table.target, called) >= score(table.target, table.probabilities.argmax(1))


def test_the_gain_is_a_paired_difference_on_other_rows():
    table, selection = rows(), rows(600, 1, "v")
    found, cautions = decision_evidence(
        table, selection, DecisionSettings("prior:auto"), names=("test", "val"), n_draws=200
    )
    assert found is not None
    assert not cautions
    called = (table.probabilities * found["weights"]).argmax(1)
    own, plain = (sk.balanced_accuracy_score(table.target, each) for each in (called, table.probabilities.argmax(1)))
    assert found["metrics"]["balanced_accuracy"]["value"] == pytest.approx(own)
    gain = found["differences"]["balanced_accuracy"]
    assert gain["value"] == pytest.approx(own - plain)
    assert 0.05 < gain["low"] < gain["value"] < gain["high"]
    assert found["differences"]["accuracy"]["high"] < 0  # what it costs
    assert set(found["differences"]) == {*DECIDE_BY, *(f"recall/{name}" for name in CLASSES)}
    assert (found["chosen_on"], found["applied_to"]) == ("val, 600 images", "test, 900 images")
    assert np.trace(found["confusion"]) == (called == table.target).sum()
    json.dumps(found)
    again, _ = decision_evidence(
        table, None, DecisionSettings(), frozen=Decision.from_dict(json.loads(json.dumps(found))), n_draws=200
    )
    assert again is not None
    assert again["metrics"] == found["metrics"]


def test_it_is_never_chosen_and_reported_on_the_same_rows():
    table = rows(300)
    assert decision_evidence(table, None, DecisionSettings("prior:auto"))[0] is None
    assert "cross_fit=true" in decision_evidence(table, None, DecisionSettings("prior:auto"))[1][0]
    crossed, _ = decision_evidence(table, None, DecisionSettings("thresholds"), cross_fit=True, n_draws=200)
    assert crossed is not None
    assert crossed["applied_to"] == "cross-fitted, 300 images"
    same = choose_decision(table, DecisionSettings("thresholds"), "val")(table.probabilities, CLASSES)
    apart = cross_fitted_calls(table, DecisionSettings("thresholds"))
    flattered, honest = (sk.balanced_accuracy_score(table.target, each) for each in (same, apart))
    assert crossed["metrics"]["balanced_accuracy"]["value"] == pytest.approx(honest)
    assert honest < flattered
    with pytest.raises(ValueError, match="same image id"):
        decision_evidence(table, table.take(np.arange(250)), DecisionSettings("prior:auto"))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (DecisionSettings("prior:2"), "T from 0 to 1"),
        (DecisionSettings("youden"), "use argmax, prior:auto"),
        (DecisionSettings("cost"), "positive="),
        (DecisionSettings("thresholds", "auroc"), "decide_by=auroc: choose balanced_accuracy"),
    ],
)
def test_mistakes_are_one_line_with_a_remedy(how, message):
    with pytest.raises(ValueError, match=message) as refused:
        choose_decision(rows(60), how, "val")
    assert "\n" not in str(refused.value)


def test_a_rule_is_for_its_classes_and_a_file_must_be_whole():
    decision = Decision("argmax", "accuracy", CLASSES, [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="is for the classes nv, mel, df, not a, b, c"):
        decision(np.ones((1, 3)), ["a", "b", "c"])
    whole = decision.to_dict()
    for damaged in ({"rule": "argmax"}, whole | {"weights": [1.0, 2.0]}, whole | {"weights": [0.0, 1.0, 1.0]}):
        with pytest.raises(ValueError, match="choose it again"):
            Decision.from_dict(damaged)
    assert parse_decision("prior:.5") == ("prior", 0.5)
