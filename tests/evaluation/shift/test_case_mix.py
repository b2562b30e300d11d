"""Metrics at a case mix are those of a table with each image repeated accordingly."""

import numpy as np
import pytest

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.case_mix import CaseMix, class_shares, of_classes, shared_classes
from skinlab.evaluation.shift.origin import Side, called_note, case_mix_part, compare_matched, compare_raw
from skinlab.evaluation.shift.yardstick import Yardstick

CLASSES = ["mel", "bcc", "nv"]
YARDSTICK = Yardstick(["mel", "bcc"], 0.4)


def place(counts, seed=0, sharpness=1.0, source=""):
    """Predictions of so many images of each class, informative in the measure of the sharpness."""
    rng = np.random.default_rng(seed)
    target = np.repeat(np.arange(len(counts)), counts)
    logits = rng.normal(size=(len(target), len(counts))) + 1.5 * sharpness * np.eye(len(counts))[target]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ids = np.array([f"{seed}_{i}" for i in range(len(target))], object)
    sources = np.full(len(target), source, object)
    return Predictions(CLASSES, probabilities, target, ids, ids, sources, np.zeros(len(target), np.int64))


def test_a_case_mix_equals_repeated_images():
    table = place([20, 30, 50])
    repeated = table.take(np.repeat(np.arange(100), np.repeat([6, 1, 1], [20, 30, 50])))  # of 120, 30 and 50 images
    weighted = YARDSTICK.samples(table, weighting=CaseMix(table.target, np.array([0.6, 0.15, 0.25])))
    expected = YARDSTICK.samples(repeated)
    assert set(weighted) == set(expected)
    for name, each in weighted.items():
        assert each.estimate[name] == pytest.approx(expected[name].estimate[name], abs=1e-6), name


def test_the_own_case_mix_changes_nothing():
    table = place([20, 30, 50])
    shares = class_shares(table, CLASSES)
    for name, each in YARDSTICK.samples(table, weighting=CaseMix(table.target, shares)).items():
        assert each.estimate[name] == pytest.approx(YARDSTICK.samples(table)[name].estimate[name], abs=1e-9)


def test_the_standard_error_at_a_case_mix_is_that_of_a_stratified_mean():
    """Of sensitivity at fixed shares: the root of the sum of share² · p (1 - p) / (n - 1)."""
    table = place([40, 60, 100], seed=3)
    shares = np.array([0.3, 0.1, 0.6])
    samples = YARDSTICK.samples(table, weighting=CaseMix(table.target, shares))["sensitivity"]
    called = YARDSTICK.calls(table)
    rates = np.array([called[table.target == c].mean() for c in (0, 1)])
    expected = np.sum(np.array([0.75, 0.25]) ** 2 * rates * (1 - rates) / np.array([39, 59]))
    assert samples.estimate["sensitivity"] == pytest.approx(rates @ [0.75, 0.25])
    assert samples.variance("sensitivity").value == pytest.approx(expected, rel=0.05)


def test_a_gap_that_is_case_mix_alone_goes_away_when_matched():
    home, outside = Side("home", place([300, 60, 640], 5)), Side("outside", place([60, 300, 640], 6))

    def with_hard_melanomas(side):
        logits = np.log(side.table.probabilities)
        logits[side.table.target == 0, 2] += 2.5
        return Side(side.name, side.table.with_probabilities(np.exp(logits) / np.exp(logits).sum(1, keepdims=True)))

    home, outside = with_hard_melanomas(home), with_hard_melanomas(outside)
    raw = compare_raw(home, outside, YARDSTICK)[1]["changes"]["sensitivity"]
    matched = compare_matched(home, outside, CLASSES, YARDSTICK)
    part = case_mix_part(home, outside, CLASSES, YARDSTICK)["sensitivity"]["difference"]
    assert raw["difference"]["low"] > 0.05
    for each in (matched[1], matched[3]):
        change = each["changes"]["sensitivity"]["difference"]
        assert change["low"] < 0 < change["high"]
        assert abs(change["value"]) < raw["difference"]["value"] / 3
    gap, remains = raw["difference"]["value"], matched[1]["changes"]["sensitivity"]["difference"]["value"]
    assert part["value"] == pytest.approx(gap - remains)
    assert part["low"] < part["value"] < part["high"]
    assert part["low"] > 0


def test_classes_of_both_have_groups_enough_on_both_sides():
    home, outside = place([20, 4, 50]), place([6, 30, 50])
    assert shared_classes(home, outside) == ["mel", "nv"]
    assert of_classes(home, ["nv"]).sum() == 50
    assert class_shares(outside, ["mel", "nv"]) == pytest.approx([6 / 56, 0, 50 / 56])


def test_means_over_other_classes_are_not_compared():
    home, outside = Side("home", place([20, 20, 50])), Side("outside", place([20, 0, 50], 1))
    changes = compare_raw(home, outside, YARDSTICK)[1]["changes"]
    assert "sensitivity" in changes
    assert not {"balanced_accuracy", "auroc_macro"} & set(changes)


def test_the_share_by_the_most_probable_class_depends_on_no_threshold():
    home, outside = place([20, 30, 50]), place([10, 10, 80], seed=1, sharpness=0.2)
    shares = [np.isin(each.probabilities.argmax(1), [0, 1])[each.target < 2].mean() for each in (home, outside)]
    for threshold in (0.1, 0.9):
        note = called_note(Side("home", home), Side("outside", outside), Yardstick(["mel", "bcc"], threshold))
        assert f", {shares[0]:.3f} [" in note
        assert f"home and {shares[1]:.3f} [" in note
