import json
from dataclasses import replace

import numpy as np
import pytest

from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.evidence.parts import row_cautions, worst_mistakes
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.evaluation.evidence.system import system_evidence
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.trainings import Replicates

QUICK = {"n_draws": 200}


def rows(n: int = 240, seed: int = 0, prefix: str = "i", classes: str = "abc") -> Predictions:
    rng = np.random.default_rng(seed)
    target = rng.integers(len(classes), size=n)
    p = rng.dirichlet(np.ones(len(classes)), n) + 0.6 * np.eye(len(classes))[target]
    ids = np.array([f"{prefix}{i}" for i in range(n)], object)
    groups = np.array([f"{prefix}{i // 2}" for i in range(n)], object)
    source = np.array(["x", "y"], object)[np.arange(n) // 2 % 2]
    return Predictions(list(classes), p / p.sum(1, keepdims=True), target, ids, groups, source, np.arange(n) // 2 % 4)


def test_the_block_is_plain_numbers_that_agree_with_the_metrics():
    view = rows()
    block = system_evidence(
        "s", [view], EvaluationSettings(positive=["b", "c"], rules=["f1"], cross_fit=True, **QUICK)
    ).block
    json.dumps(block)
    own = classification_metrics(view.probabilities, view.target, view.classes)
    for name, metric in block["metrics"].items():
        assert metric["value"] == pytest.approx(own[name], nan_ok=True), name
        assert metric["low"] <= metric["high"] or metric["note"].startswith("no interval"), name
    assert np.trace(block["confusion"]) / len(view) == pytest.approx(own["accuracy"])
    assert block["curves"]["a"]["roc"]["y"][-1] == 1
    assert [each["value"] for each in block["subgroups"]["subgroups"]] == ["x", "y"]
    assert block["calibration"]["none"]["brier"]["value"] == pytest.approx(own["brier"])
    assert block["groups"] == 120


def test_seeds_are_averaged_on_the_same_bootstrap_samples():
    one, two = rows(), rows()
    two = two.with_probabilities(np.roll(two.probabilities, 1, axis=1))
    both = system_evidence("s", [one, two], EvaluationSettings(**QUICK), replicates=Replicates("seed", [3, 7]))
    alone = [system_evidence("s", [each], EvaluationSettings(**QUICK)) for each in (one, two)]
    for name in ("auroc_macro", "brier"):
        mean = np.mean([each.block["metrics"][name]["value"] for each in alone])
        assert both.block["metrics"][name]["value"] == pytest.approx(mean)
        each = [found.trainings.mean().values[name] for found in (both, *alone)]
        assert np.allclose(each[0], np.mean(each[1:], axis=0))
    spread = both.block["spread"]["metrics"]["auroc_macro"]
    assert spread["values"] == {
        k: pytest.approx(a.block["metrics"]["auroc_macro"]["value"]) for k, a in zip("37", alone, strict=True)
    }
    assert both.block["spread"]["replicate_axis"] == "seed"


def test_pooled_folds_have_their_spread_and_cross_fitted_thresholds():
    found = system_evidence("s", [rows()], EvaluationSettings(positive=["c"], rules=["f1"], **QUICK), pooled=True)
    assert found.block["pooled_folds"] == [0, 1, 2, 3]
    assert found.block["spread"]["n"] == 4
    assert found.block["thresholds"][0]["applied_to"] == "cross-fitted"
    assert found.thresholds[0].rule == "f1"
    assert any("would have been" in text for text in found.cautions)


def test_thresholds_are_never_chosen_silently_on_the_reported_rows():
    found = system_evidence("s", [rows()], EvaluationSettings(positive=["c"], rules=["f1"], **QUICK))
    assert found.block["thresholds"] is None
    assert any("cross_fit=true" in text for text in found.cautions)
    with_selection = system_evidence(
        "s", [rows()], EvaluationSettings(positive=["c"], rules=["f1"], **QUICK), selection=rows(seed=1, prefix="v")
    )
    assert with_selection.block["thresholds"][0]["chosen_on"] == "other images, 240 images"


def test_a_page_has_one_cross_fitted_f1_and_the_prevalence_of_its_rules():
    settings = EvaluationSettings(positive=["c"], rules=["f1", "sensitivity>=0.9"], prevalence=0.05, **QUICK)
    block = system_evidence("s", [rows()], settings, pooled=True).block
    assert block["optimism"]["held_out"] == block["thresholds"][0]["f1_positive"]["value"]
    assert [row["prevalence"] for row in block["thresholds"]] == [0.05, None]


def test_prevalence_moves_ppv_only():
    plain = system_evidence("s", [rows()], EvaluationSettings(positive=["c"], **QUICK)).block["binary"]["metrics"]
    rare = system_evidence("s", [rows()], EvaluationSettings(positive=["c"], prevalence=0.01, **QUICK)).block["binary"][
        "metrics"
    ]
    assert rare["ppv"]["value"] < 0.2 * plain["ppv"]["value"]
    assert rare["sensitivity"] == plain["sensitivity"]


def test_rows_that_say_nothing_are_refused():
    view = rows()
    with pytest.raises(ValueError, match="are all a; metrics need images of two classes"):
        system_evidence("s", [view.take(view.target == 0)], EvaluationSettings(**QUICK))
    one_group = Predictions(**(vars(view) | {"group": np.full(len(view), "g", object)}))
    with pytest.raises(ValueError, match="one group"):
        system_evidence("s", [one_group], EvaluationSettings(**QUICK))


CHOOSES = {"rules": ["f1"], "positive": ["c"]} | QUICK


def only(view: Predictions, *numbers: int) -> Predictions:
    return view.take(np.isin(view.target, numbers))


@pytest.mark.parametrize(
    ("view", "settings", "more", "caution", "missing"),
    [
        (rows(), QUICK, {"training_prior": [0.5, 0.5, 0.0]}, None, None),
        (only(rows(), 0, 1), CHOOSES, {}, "No image is positive (c)", "binary"),
        (only(rows(), 1, 2), CHOOSES | {"positive": ["b", "c"]}, {}, "Every image is positive (b, c)", "binary"),
        (rows(), CHOOSES, {"selection": only(rows(seed=1, prefix="v"), 0, 1)}, "No threshold for c", "thresholds"),
        (rows(classes="ac"), CHOOSES, {"selection": only(rows(prefix="v", classes="ac"), 1)}, "No thr", "thresholds"),
        (rows(6), CHOOSES | {"cross_fit": True}, {}, "No threshold for c was chosen on these images", "thresholds"),
    ],
    ids=["in training", "in the rows", "others in the rows", "in selection", "others in selection", "in folds"],
)
def test_an_absent_class_costs_what_rests_on_it_and_nothing_else(view, settings, more, caution, missing):
    found = system_evidence("s", [view], EvaluationSettings(**settings), **more)
    json.dumps(found.block)
    assert found.block["metrics"]["accuracy"]["value"] > 0
    assert found.block["calibration"].keys() == {"none", "temperature", "vector", "isotonic"}
    assert [caution in text for text in found.cautions] == ([True] if caution else [])
    assert missing is None or found.block[missing] is None


def test_worst_mistakes_are_the_surest():
    found = worst_mistakes(rows(), 5)
    assert [each["probability"] for each in found] == sorted((each["probability"] for each in found), reverse=True)
    assert all(each["label"] != each["predicted"] for each in found)


def test_missed_positives_are_the_first_of_the_worst_mistakes():
    table = rows(classes="ab")
    missed = (table.target == 1) & (table.probabilities[:, 1] < 0.45)
    found = worst_mistakes(table, len(table), missed=missed)
    n = sum(each["missed"] for each in found)
    assert 0 < n < len(found)
    assert [each["missed"] for each in found] == [True] * n + [False] * (len(found) - n)
    assert {each["label"] for each in found[:n]} == {"b"}


def test_decisions_at_the_threshold_are_counted_by_image_and_lesion():
    table = rows(classes="ab")
    table = replace(table, target=np.repeat(table.target[::2], 2))  # of a lesion one class
    settings = EvaluationSettings(n_draws=50, calibration=False, rules=["p>=0.45"], units=["lesion"])
    block = system_evidence("s", [table], settings).block
    called, truth = table.probabilities[:, 1] >= 0.45, table.target == 1
    names = ("found", "missed", "false_alarms", "correctly_negative")
    cells = (called & truth, ~called & truth, called & ~truth, ~called & ~truth)
    assert block["thresholds"][0]["counts"] == {name: cell.sum() for name, cell in zip(names, cells, strict=True)}
    by_lesion = block["units"][0]["counts"]
    assert sum(by_lesion.values()) == 120
    share = by_lesion["found"] / (by_lesion["found"] + by_lesion["missed"])
    assert share == pytest.approx(block["units"][0]["binary"]["sensitivity"]["value"])


def test_folds_of_other_scales_are_told_beside_their_mean():
    table = rows(600, classes="ab")
    plain = system_evidence("s", [table], EvaluationSettings(**QUICK), pooled=True)
    means = plain.block["fold_means"]
    assert means["auroc_macro"]["pooled"] == plain.block["metrics"]["auroc_macro"]
    assert means["auroc_macro"]["mean"]["value"] == pytest.approx(
        plain.block["spread"]["metrics"]["auroc_macro"]["mean"]
    )
    assert not any("folds disagree" in text for text in plain.cautions)
    odds = table.probabilities[:, 1] / table.probabilities[:, 0] * 8.0 ** (table.fold - 1.5)
    p = odds / (1 + odds)
    shifted = table.with_probabilities(np.stack([1 - p, p], 1))
    found = system_evidence("s", [shifted], EvaluationSettings(**QUICK), pooled=True)
    row = found.block["fold_means"]["auroc_macro"]
    assert row["mean"]["value"] == pytest.approx(means["auroc_macro"]["mean"]["value"])
    assert row["pooled"]["value"] < row["mean"]["low"]
    assert any("folds disagree with their pool: " in text and "macro AUROC" in text for text in found.cautions)
    assert system_evidence("s", [table], EvaluationSettings(**QUICK)).block["fold_means"] is None
    few = shifted.take(np.r_[np.flatnonzero(table.target == 0), np.flatnonzero(table.target == 1)[:24]])
    found = system_evidence("s", [few], EvaluationSettings(**QUICK), pooled=True)
    assert np.isnan(found.block["fold_means"]["auroc_macro"]["difference"]["low"])  # so few groups have no interval
    assert any("folds disagree with their pool: " in text for text in found.cautions)


@pytest.mark.parametrize("classes", ["ab", "abc"])
def test_means_and_spread_over_folds_are_at_the_rules_of_the_headline(classes):
    settings = EvaluationSettings(**QUICK | {"rules": ("f1",), "positive": ["b"], "decide": "prior:auto"})
    table = rows(600, classes=classes).binary(["b"]) if len(classes) == 2 else rows(600, classes=classes)
    if len(classes) == 2:
        settings = replace(settings, positive=["positive"])
    block = system_evidence("s", [table], settings, pooled=True).block
    means, spread = block["fold_means"], block["spread"]["metrics"]
    for name in ("sensitivity", "specificity", "f1_positive"):
        assert means[name]["operating_point"] == spread[name]["operating_point"] == "best F1, cross-fitted"
        assert means[name]["pooled"]["value"] == pytest.approx(block["thresholds"][0][name]["value"])
        assert means[name]["mean"]["value"] == pytest.approx(spread[name]["mean"])
    called = "called class, prior:auto, cross-fitted"
    assert means["f1_macro"]["operating_point"] == spread["f1_macro"]["operating_point"] == called
    assert means["f1_macro"]["pooled"] == block["decision"]["metrics"]["f1_macro"]
    assert means["auroc_macro"]["operating_point"] == ""


def test_few_groups_leave_bands_and_intervals_out():
    table = rows(400, classes="ab")
    keep = np.r_[np.flatnonzero(table.target == 0), np.flatnonzero(table.target == 1)[:4]]
    few = table.take(keep)
    block = system_evidence("s", [few], EvaluationSettings(positive=["b"], **QUICK)).block
    assert block["groups_per_class"]["b"] <= 4
    assert "low" not in block["decision_curve"]
    assert "low" not in block["curves"]["b"]["roc"]
    assert block["metrics"]["recall/b"]["note"].startswith("no interval: ")
    assert np.isfinite(block["metrics"]["specificity/b"]["low"])
    assert any(text.startswith("Fewer than 5 groups of b (") for text in row_cautions(few))


def test_rules_of_several_seeds_are_chosen_on_and_applied_to_the_mean_of_their_probabilities():
    tables = [rows(), rows().with_probabilities(rows(seed=1).probabilities)]
    joint, selection = mean_predictions(tables), rows(seed=2, prefix="v")
    assert np.allclose(joint.probabilities, (tables[0].probabilities + tables[1].probabilities) / 2)
    settings = EvaluationSettings(positive=["c"], rules=["f1"], decide="thresholds", **QUICK)
    seeds = {"replicates": Replicates("seed", [0, 1]), "names": ("test", "val, mean of 2 seeds")}
    found = system_evidence("s", tables, settings, selection=selection, **seeds)
    alone = system_evidence("s", [joint], settings, selection=selection)
    (row,), (same,) = found.block["thresholds"], alone.block["thresholds"]
    assert (row["threshold"], row["f1_positive"]["value"]) == (same["threshold"], same["f1_positive"]["value"])
    assert row["applied_to"] == f"test, mean of 2 seeds, {len(joint)} images"
    assert row["chosen_on"] == f"val, mean of 2 seeds, {len(selection)} images"
    assert found.block["decision"]["confusion"] == alone.block["decision"]["confusion"]
    assert found.block["optimism"]["held_out"] == same["f1_positive"]["value"]


@pytest.mark.parametrize("cross_fit", [True, False])
def test_class_table_confusion_subgroups_and_lesions_are_of_the_called_class(cross_fit):
    """One page has one sensitivity of a class: that of the rule, which the most probable class differs from here."""

    def biased(table: Predictions) -> Predictions:
        return table.with_probabilities(table.probabilities * [4, 1, 1] / (table.probabilities @ [[4], [1], [1]]))

    view, selection = biased(rows(600)), None if cross_fit else biased(rows(600, seed=1, prefix="v"))
    settings = EvaluationSettings(decide="thresholds", cross_fit=cross_fit, **QUICK)
    found = system_evidence("s", [view], settings, selection=selection)
    block, called = found.block, found.rules.called(view)
    assert (called != view.probabilities.argmax(1)).any()
    certain = classification_metrics(np.eye(3)[called], view.target, view.classes)
    names = [f"{name}/{of}" for name in ("recall", "specificity", "precision", "npv", "f1") for of in "abc"]
    for name in ["balanced_accuracy", "accuracy", "f1_macro", "mcc", *names]:
        assert block["decision"]["metrics"][name]["value"] == pytest.approx(certain[name]), name
    assert list(block["decision"]["differences"]) == ["balanced_accuracy", "accuracy", "f1_macro", *names[:3]]
    assert block["confusion"] == block["decision"]["confusion"]
    assert [block["confusion"][i][i] for i in range(3)] == [
        ((called == i) & (view.target == i)).sum() for i in range(3)
    ]
    point = "called class, thresholds" + ", cross-fitted" * cross_fit
    assert block["confusion_point"] == block["subgroups"]["called"] == point
    for each in block["subgroups"]["subgroups"]:
        inside = view.source == each["value"]
        own = classification_metrics(np.eye(3)[called[inside]], view.target[inside], view.classes)
        assert each["metrics"]["balanced_accuracy"]["value"] == pytest.approx(own["balanced_accuracy"])
        plain = classification_metrics(view.probabilities[inside], view.target[inside], view.classes)
        assert each["metrics"]["auroc_macro"]["value"] == pytest.approx(plain["auroc_macro"])
    assert "(called class, thresholds" in block["subgroups"]["lowest"]["sentence"]


@pytest.mark.parametrize("cross_fit", [True, False])
def test_decisions_of_subgroups_are_at_the_rule_of_the_headline(cross_fit):
    settings = EvaluationSettings(positive=["c"], rules=["sensitivity>=0.9", "f1"], cross_fit=cross_fit, **QUICK)
    view, selection = rows(), None if cross_fit else rows(seed=1, prefix="v")
    block = system_evidence("s", [view], settings, selection=selection).block
    row, found = block["thresholds"][0], block["subgroups"]
    assert found["rule"] == "sensitivity>=0.9"
    parts = {each["value"]: each for each in found["subgroups"] if each["column"] == "source"}
    weights = {name: ((view.source == name) & (view.target == 2)).sum() for name in parts}
    mean = sum(parts[name]["binary"]["sensitivity"]["value"] * n for name, n in weights.items()) / sum(weights.values())
    assert mean == pytest.approx(row["sensitivity"]["value"])  # of all images together
    assert mean != pytest.approx(block["binary"]["metrics"]["sensitivity"]["value"])


@pytest.mark.parametrize(
    ("n", "cross_fit", "caution"), [(240, False, "No threshold was chosen"), (6, True, "No threshold")]
)
def test_a_fixed_threshold_is_there_where_no_other_could_be_chosen(n, cross_fit, caution):
    settings = EvaluationSettings(positive=["c"], rules=["f1", "p>=0.4"], cross_fit=cross_fit, **QUICK)
    found = system_evidence("s", [rows(n)], settings)
    assert [row["rule"] for row in found.block["thresholds"]] == ["p>=0.4"]
    assert [each.threshold for each in found.thresholds] == [0.4]
    assert any(caution in text for text in found.cautions)
    alone = system_evidence("s", [rows(n)], replace(settings, rules=["p>=0.4"]))
    assert not any("threshold" in text for text in alone.cautions)


def test_probabilities_of_the_other_class_cost_a_caution():
    table = rows(classes="ab")
    swapped = replace(table, probabilities=table.probabilities[:, ::-1].copy())
    settings = EvaluationSettings(n_draws=50, calibration=False)
    words = "significantly below 0.5: the probabilities rank the positive class lowest"
    assert not any(words in text for text in system_evidence("s", [table], settings).cautions)
    assert any(words in text for text in system_evidence("s", [swapped], settings).cautions)
