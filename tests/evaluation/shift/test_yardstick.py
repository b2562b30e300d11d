"""Conditions are measured at the frozen threshold, and differences to the same images are paired."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, recall_score, roc_auc_score

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.flags import LIMITS, flag_changes
from skinlab.evaluation.shift.yardstick import Yardstick, altered_condition, condition

CLASSES = ["bcc", "mel", "nv"]
YARDSTICK = Yardstick(["bcc", "mel"], 0.6)


def predictions(n: int = 400, noise: float = 0.0, lower: float = 0.0, seed: int = 0) -> Predictions:
    """Images of three classes, two in a group; `noise` and `lower` alter the logits of the positive classes."""
    rng = np.random.default_rng(seed)
    target = rng.choice(3, n, p=[0.1, 0.2, 0.7])
    logits = rng.normal(size=(n, 3)) + 2 * np.eye(3)[target]
    logits += np.random.default_rng(9).normal(0, noise, (n, 3)) if noise else 0
    logits[:, :2] -= lower
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ids = np.array([f"i{i}" for i in range(n)], object)
    group = np.array([f"g{i // 2}" for i in range(n)], object)
    blank = np.full(n, "", object)
    return Predictions(CLASSES, probabilities, target, ids, group, blank, np.full(n, -1))


def test_metrics_are_scikit_learns():
    table = predictions()
    found = condition("clean", table, YARDSTICK)
    score, truth = table.probabilities[:, :2].sum(1), table.target < 2
    called = score >= 0.6
    metrics = {name: each["value"] for name, each in found["metrics"].items()}
    assert metrics["sensitivity"] == pytest.approx(recall_score(truth, called))
    assert metrics["specificity"] == pytest.approx(recall_score(~truth, ~called))
    assert metrics["auroc/positive"] == pytest.approx(roc_auc_score(truth, score))
    assert metrics["brier"] == pytest.approx(brier_score_loss(truth, score))
    assert found["images"] == 400
    assert found["groups"] == 200
    assert found["metrics"]["sensitivity"]["low"] < metrics["sensitivity"] < found["metrics"]["sensitivity"]["high"]


def test_an_alteration_that_changes_nothing_has_no_change_and_no_flag():
    table = predictions()
    found = altered_condition("none", "", table, table, YARDSTICK.samples(table), YARDSTICK)
    assert found["flipped"]["value"] == 0
    assert all(each["difference"]["value"] == 0 for each in found["changes"].values())
    assert not flag_changes([found], "The ")


def test_lower_scores_lose_sensitivity_and_are_flagged():
    clean, table = predictions(), predictions(lower=2.0)
    reference = YARDSTICK.samples(clean)
    found = altered_condition("dim", "dose 1", table, clean, reference, YARDSTICK)
    change = found["changes"]["sensitivity"]
    before = recall_score(clean.target < 2, clean.probabilities[:, :2].sum(1) >= 0.6)
    after = recall_score(clean.target < 2, table.probabilities[:, :2].sum(1) >= 0.6)
    assert change["difference"]["value"] == pytest.approx(after - before)
    assert change["difference"]["high"] < 0
    assert change["p"] < 1e-3
    flipped = (clean.probabilities[:, :2].sum(1) >= 0.6) != (table.probabilities[:, :2].sum(1) >= 0.6)
    assert found["flipped"]["value"] == pytest.approx(flipped.mean())
    first = flag_changes([found], "The alteration ")[0]
    assert first["level"] == "breaks"
    assert first["sentence"].startswith("The alteration dim, dose 1, changes sensitivity by \N{MINUS SIGN}0.")
    assert first["size"] >= 1


def test_paired_intervals_are_narrower_than_unpaired():
    clean, table = predictions(), predictions(noise=0.3)
    here, reference = YARDSTICK.samples(table), YARDSTICK.samples(clean)
    for name in ("auroc/positive", "brier"):
        widths = [
            (found[name]["difference"]["high"] or 0) - (found[name]["difference"]["low"] or 0)
            for found in (YARDSTICK.paired(here, reference), YARDSTICK.unpaired(here, reference))
        ]
        assert 0 < widths[0] < 0.7 * widths[1]


def test_chance_among_many_conditions_is_not_flagged():
    """Forty conditions of noise that changes nothing on average: Holm's correction leaves none of them."""
    clean = predictions()
    reference = YARDSTICK.samples(clean)
    found = []
    for seed in range(40):
        logits = np.log(clean.probabilities) + np.random.default_rng(seed).normal(0, 0.05, clean.probabilities.shape)
        table = clean.with_probabilities(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
        found.append(altered_condition(f"noise {seed}", "", table, clean, reference, YARDSTICK))
    assert not flag_changes(found, "The ", LIMITS)


def test_every_condition_that_harms_is_named_the_worst_first():
    clean = predictions()
    reference = YARDSTICK.samples(clean)
    found = [
        altered_condition(name, "dose 1", predictions(lower=lower), clean, reference, YARDSTICK)
        for name, lower in (("hair", 0.8), ("gel_bubble", 0.0), ("ruler", 2.0))
    ]
    flag = next(each for each in flag_changes(found, "The ") if "sensitivity" in each["sentence"])
    assert flag["sentence"].startswith("The ruler, dose 1, changes sensitivity")
    assert flag["sentence"].endswith("; 2 of 3 conditions do so: ruler, hair).")
