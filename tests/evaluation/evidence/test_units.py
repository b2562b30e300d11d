from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.evidence.decision import decision_evidence
from skinlab.evaluation.evidence.rules import Rules
from skinlab.evaluation.evidence.units import by_lesion, by_patient, evaluate_units, group_unit, unit_ids
from skinlab.evaluation.evidence.views import OperatingRule
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds.decision import DecisionSettings, choose_decision

SETTINGS = {"level": 0.95, "seed": 0}


def rows(n: int = 400, per_lesion: int = 2) -> Predictions:
    rng = np.random.default_rng(0)
    lesion = np.arange(n) // per_lesion
    target = np.random.default_rng(1).integers(3, size=n)[lesion]
    p = rng.dirichlet(np.ones(3), n) + np.eye(3)[target]
    ids = np.array([f"i{i}" for i in range(n)], object)
    groups, empty = np.array([f"l{i}" for i in lesion], object), np.full(n, "", object)
    return Predictions(list("abc"), p / p.sum(1, keepdims=True), target, ids, groups, empty, np.full(n, -1))


def test_a_lesion_is_the_mean_of_its_images():
    view = rows(8)
    found = by_lesion(view, view.group)
    assert found.image_id.tolist() == ["l0", "l1", "l2", "l3"]
    assert found.probabilities[1] == pytest.approx(view.probabilities[2:4].mean(0))
    assert found.target.tolist() == view.target[::2].tolist()


def test_one_image_a_lesion_changes_nothing():
    view = rows(6, per_lesion=1)
    assert (by_lesion(view, view.group).probabilities == view.probabilities).all()


def test_a_patient_is_its_worst_lesion():
    view = rows(8).binary(["c"])
    patient = np.repeat(["p", "q"], 4).astype(object)
    found = by_patient(view, view.group, patient)
    means = view.probabilities[:, 1].reshape(4, 2).mean(1)
    assert found.probabilities[:, 1] == pytest.approx([means[:2].max(), means[2:].max()])
    assert found.target.tolist() == [view.target[:4].max(), view.target[4:].max()]
    assert found.group.tolist() == ["p", "q"]


def test_lesions_and_patients_stand_beside_each_other():
    view = rows()
    metadata = pd.DataFrame({"patient": [f"p{i // 6}" for i in range(400)]})
    lesion, patient = evaluate_units([view], [view.binary(["c"])], metadata, None, **SETTINGS)
    assert (lesion["unit"], lesion["rows"], lesion["images"]) == ("lesion", 200, 400)
    assert {"balanced_accuracy", "auroc_macro"} <= lesion["metrics"].keys()
    assert (patient["rows"], patient["metrics"]) == (67, {})
    assert patient["binary"]["sensitivity"]["low"] < patient["binary"]["sensitivity"]["value"]
    assert sum(patient["support"].values()) == 67
    (alone,) = evaluate_units([view], [], metadata, ["patient"], **SETTINGS)
    assert "they need positive classes" in alone["note"]


def test_labels_of_a_lesion_agree():
    view = rows(8, per_lesion=4)
    view.target[1] = (view.target[0] + 1) % 3
    with pytest.raises(ValueError, match=r"lesion l0 has images of different labels \(i0: ., i1: .\)"):
        by_lesion(view, view.group)
    with pytest.raises(ValueError, match="lesion l0"):
        evaluate_units([view], [], None, ["lesion"], **SETTINGS)
    (found,) = evaluate_units([view], [], None, None, **SETTINGS)
    assert found["note"].startswith("no metrics by lesion: lesion l0")
    with pytest.raises(ValueError, match="no column patient"):
        evaluate_units([view], [], None, ["patient"], **SETTINGS)


def test_what_a_lesion_is():
    view = rows(8)
    assert unit_ids(view, None, "lesion").tolist() == view.group.tolist()
    metadata = pd.DataFrame({"patient": view.group})
    assert unit_ids(view, metadata, "lesion") is None
    metadata["lesion"] = ["x", "x", "", *"yyyyy"]
    assert unit_ids(view, metadata, "lesion").tolist() == ["x", "x", "i2", *"yyyyy"]
    assert evaluate_units([rows(6, per_lesion=1)], [], None, None, **SETTINGS) == []


@pytest.mark.parametrize("size", [4, 8], ids=["patients", "clinics"])
def test_of_groups_that_hold_patients_the_worst_image_counts(size):
    view = rows(400, per_lesion=1).binary(["c"])
    patient = np.array([f"p{i // 4}" for i in range(400)], object)
    view = replace(view, group=np.array([f"g{i // size}" for i in range(400)], object))
    (found,) = evaluate_units([view], [view], pd.DataFrame({"patient": patient}), None, **SETTINGS)
    score, truth = (each.reshape(-1, 4).max(1) for each in (view.probabilities[:, 1], view.target))
    assert found["each_image_a_lesion"]
    assert found["binary"]["sensitivity"]["value"] == pytest.approx((score >= 0.5)[truth == 1].mean())
    lesion = pd.DataFrame({"patient": patient, "lesion": [f"l{i // 2}" for i in range(400)]})
    (known,) = evaluate_units([view], [view], lesion, ["patient"], **SETTINGS)
    assert not known["each_image_a_lesion"]
    assert known["binary"]["sensitivity"] != found["binary"]["sensitivity"]


def test_a_patient_without_a_name_does_not_make_lesions_patients():
    view = rows(8)
    unknown = pd.DataFrame({"patient": [""] * 8})
    assert unit_ids(view, unknown, "lesion").tolist() == view.group.tolist()


def test_a_unit_is_positive_at_the_threshold_of_the_rule():
    view = rows()
    binary, patients = view.binary(["c"]), pd.DataFrame({"patient": [f"p{i // 6}" for i in range(400)]})
    at = OperatingRule("f1", np.full((400, 1), 0.7))
    lesion, patient = evaluate_units([view], [binary], patients, None, rules=Rules(lambda _: None, at), **SETTINGS)
    for unit, units in (
        (lesion, by_lesion(binary, binary.group)),
        (patient, by_patient(binary, binary.group, patients["patient"].to_numpy(object))),
    ):
        called, truth = units.probabilities[:, 1] >= 0.7, units.target == 1
        assert unit["rule"] == "f1"
        assert unit["binary"]["sensitivity"]["value"] == pytest.approx(called[truth].mean())
        assert unit["binary"]["specificity"]["value"] == pytest.approx((~called)[~truth].mean())
    (plain, _) = evaluate_units([view], [binary], patients, None, **SETTINGS)
    assert plain["rule"] is None
    assert plain["binary"]["sensitivity"] != lesion["binary"]["sensitivity"]
    assert plain["binary"]["auroc/positive"] == lesion["binary"]["auroc/positive"]


def test_the_class_of_a_lesion_is_called_by_the_rule():
    view = rows()
    how = DecisionSettings("prior:1", prior=[0.8, 0.15, 0.05])
    decision, _ = decision_evidence(view, None, how)
    (lesion,) = evaluate_units(
        [view], [], None, None, rules=Rules(lambda _: None, decision=decision, how=how), **SETTINGS
    )
    units = by_lesion(view, view.group)
    called = choose_decision(view, how, "")(units.probabilities, units.classes)
    assert (called != units.probabilities.argmax(1)).any()
    own = classification_metrics(np.eye(3)[called], units.target, units.classes)
    assert lesion["called"] == "called class, prior:1"
    assert lesion["metrics"]["balanced_accuracy"]["value"] == pytest.approx(own["balanced_accuracy"])


def test_the_intervals_by_lesion_count_the_trainings_but_not_for_decisions_by_a_rule():
    view = rows()
    noise = np.random.default_rng(3).dirichlet([1] * 3, 400)
    trainings = [replace(view, probabilities=share * view.probabilities + (1 - share) * noise) for share in (0.4, 0.1)]
    at = OperatingRule("f1", np.full((400, 1), 0.3), "best F1, p ≥ 0.300")
    found = {}
    for n in (1, 2):
        tables = trainings[:n]
        views = [table.binary(["c"]) for table in tables]
        (found[n],) = evaluate_units(tables, views, None, None, rules=Rules(lambda _: None, at), **SETTINGS)

    def width(n: int, kind: str, name: str) -> float:
        return found[n][kind][name]["high"] - found[n][kind][name]["low"]

    assert width(2, "metrics", "auroc_macro") > 2 * width(1, "metrics", "auroc_macro")
    assert width(2, "binary", "auroc/positive") > 2 * width(1, "binary", "auroc/positive")
    joint = mean_predictions(trainings)
    (mean,) = evaluate_units([joint], [joint.binary(["c"])], None, None, rules=Rules(lambda _: None, at), **SETTINGS)
    assert found[2]["binary"]["sensitivity"] == mean["binary"]["sensitivity"]


def test_the_unit_of_the_groups_is_read_from_the_columns():
    lesion = np.array([f"L{i // 2}" for i in range(400)], object)
    patient = np.array([f"P{i // 8}" for i in range(400)], object)
    table = pd.DataFrame({"lesion": lesion, "patient": patient})
    assert group_unit(lesion, table) == "lesion"
    assert group_unit(patient, table) == "patient"
    assert group_unit(np.where(lesion == "L1", "L0", lesion), table[["lesion"]]) == "lesion"  # merged: copies
    assert group_unit(patient, table[["lesion"]]) is None
    assert group_unit(np.arange(400).astype(str).astype(object), table) == "image"
    assert group_unit(lesion, table.assign(lesion="", patient="")) is None
