import json
import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skinlab.evaluation.evidence.subgroups import MIN_GROUPS, evaluate_subgroups, subgroup_columns
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import Predictions
from skinlab.processes import progress

SETTINGS = {"level": 0.95, "seed": 0}


def rows(n: int = 300, seed: int = 0, signal: np.ndarray | float = 2.0, source: str = "") -> Predictions:
    rng = np.random.default_rng(seed)
    target = rng.integers(2, size=n)
    logit = rng.normal(size=n) + signal * (2 * target - 1)
    p = 1 / (1 + np.exp(-logit))
    ids = np.array([f"i{i}" for i in range(n)], object)
    return Predictions(
        ["nv", "mel"], np.stack([1 - p, p], 1), target, ids, ids, np.full(n, source, object), -np.ones(n, int)
    )


def columns(view: Predictions, **metadata: list[str]) -> dict[str, np.ndarray]:
    return subgroup_columns(view, pd.DataFrame(metadata), None)


def test_the_subgroup_that_falls_behind_is_named():
    worse = np.arange(300) % 3 == 0
    view = rows(signal=np.where(worse, 0.2, 2.0))
    found = evaluate_subgroups([view], [view], columns(view, sex=np.where(worse, "f", "m").tolist()), **SETTINGS)
    json.dumps(found)
    first, second = found["subgroups"]
    own = classification_metrics(*(getattr(view.take(worse), name) for name in ("probabilities", "target", "classes")))
    assert first["metrics"]["balanced_accuracy"]["value"] == pytest.approx(own["balanced_accuracy"])
    assert first["binary"]["sensitivity"]["value"] == pytest.approx(own["sensitivity"])
    assert (first["rows"], second["rows"]) == (100, 200)
    difference = first["differences"]["balanced_accuracy"]
    assert difference["difference"]["high"] < 0
    assert difference["p_holm"] == pytest.approx(2 * difference["p"])
    assert found["lowest"]["value"] == "f"
    assert "Of 2 subgroups sex f (100 images, 100 groups)" in found["lowest"]["sentence"]
    assert second["differences"]["balanced_accuracy"]["difference"]["value"] == pytest.approx(
        -difference["difference"]["value"]
    )


def test_the_lowest_subgroup_names_over_how_many_classes_its_metric_is():
    worse = np.arange(300) % 3 == 0
    two = rows(signal=np.where(worse, 0.2, 2.0))
    probabilities = np.column_stack([two.probabilities * 0.9, np.full(300, 0.1)])
    view = replace(two, classes=["nv", "mel", "df"], probabilities=probabilities)
    found = evaluate_subgroups([view], [], columns(view, sex=np.where(worse, "f", "m").tolist()), **SETTINGS)
    assert "has the lowest balanced accuracy over 2 of 3 classes" in found["lowest"]["sentence"]


def test_each_subgroup_is_a_step_of_the_progress(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "FIRST_LINE", 0)
    monkeypatch.setattr(progress, "NEXT_LINE", 0)
    view = rows()
    evaluate_subgroups([view], [], columns(view, sex=["f", "m", "m"] * 100), **SETTINGS)
    steps = {record.message.partition(", ")[0] for record in caplog.records}
    assert {"subgroups: 1 of 2", "subgroups: 2 of 2"} <= steps


def test_a_small_subgroup_has_counts_and_no_rank():
    view = rows()
    site = np.full(300, "back", object)
    site[:29], site[29:60] = "ear", "foot"
    one_class = (site == "foot") & (view.target == 1)
    site[np.flatnonzero(one_class)[MIN_GROUPS - 1 :]] = "back"
    site[np.flatnonzero((site == "back") & (view.target == 0))[:20]] = "foot"
    found = evaluate_subgroups([view], [view], columns(view, site=site.tolist()), **SETTINGS)
    by_value = {each["value"]: each for each in found["subgroups"]}
    assert by_value["ear"]["note"] == "fewer than 30 images"
    assert by_value["foot"]["note"] == "fewer than two classes with 5 groups"
    assert by_value["foot"]["groups_per_class"]["mel"] == MIN_GROUPS - 1
    assert by_value["ear"]["metrics"] is by_value["foot"]["binary"] is None
    assert by_value["back"]["differences"]
    assert found["lowest"]["value"] == "back"


def test_bands_unknown_values_and_columns_of_one_value():
    view = rows(6, source="clinic")
    found = columns(view, age=["3", "29.0", "30", "85", "", "x"], sex=["f"] * 6, group=list("abcdef"))
    assert list(found) == ["age"]
    assert found["age"].tolist() == ["0-29", "0-29", "30-49", "70+", "unknown", "x"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tone"], "no such column (there are: age, id)"),
        (["id"], "40 values"),
        (["age"], "1 value of it; leave it out"),
    ],
)
def test_a_named_column_must_be_of_use(names, message):
    view = rows(40)
    metadata = pd.DataFrame({"age": ["50"] * 40, "id": [str(i) for i in range(40)]})
    with pytest.raises(ValueError, match="subgroups=") as error:
        subgroup_columns(view, metadata, names)
    assert message in str(error.value)


@pytest.mark.slow
def test_the_interval_of_a_difference_covers_and_p_is_right_where_nothing_differs():
    covered, small, n = 0, 0, 200
    for seed in range(n):
        view = rows(160, seed, signal=0.8)
        sex = np.where(np.arange(160) % 4 == 0, "f", "m").tolist()
        found = evaluate_subgroups([view], [], columns(view, sex=sex), **SETTINGS)
        row = found["subgroups"][0]["differences"]["auroc_macro"]
        covered += row["difference"]["low"] <= 0 <= row["difference"]["high"]
        small += row["p"] <= 0.05
    assert 0.915 <= covered / n <= 0.985
    assert small / n <= 0.085


def test_the_intervals_count_the_trainings():
    worse = np.arange(300) % 3 == 0
    tables = [rows(signal=np.where(worse, 0.2, signal)) for signal in (1.0, 2.0)]
    named = columns(tables[0], sex=np.where(worse, "f", "m").tolist())
    views = {n: evaluate_subgroups(tables[:n], tables[:n], named, **SETTINGS)["subgroups"][1] for n in (1, 2)}
    value = np.mean(
        [
            classification_metrics(part.probabilities, part.target, part.classes)["auroc_macro"]
            for part in (table.take(~worse) for table in tables)
        ]
    )
    one, two = (views[n]["metrics"]["auroc_macro"] for n in (1, 2))
    assert two["value"] == pytest.approx(value)
    assert two["high"] - two["low"] > 2 * (one["high"] - one["low"])  # one degree of freedom between two trainings
    same = evaluate_subgroups([tables[0]] * 2, [], named, **SETTINGS)["subgroups"][1]["metrics"]["auroc_macro"]
    assert (same["low"], same["high"]) == pytest.approx((one["low"], one["high"]), abs=0.02)


def test_the_lowest_is_named_with_the_other_images_beside_it():
    worse = np.arange(300) % 3 == 0
    view = rows(signal=np.where(worse, 0.2, 2.0))
    found = evaluate_subgroups([view], [], columns(view, sex=np.where(worse, "f", "m").tolist()), **SETTINGS)
    here, others = (
        classification_metrics(part.probabilities, part.target, part.classes)["balanced_accuracy"]
        for part in (view.take(worse), view.take(~worse))
    )
    assert f": {here:.3f} against {others:.3f}, \N{MINUS SIGN}{others - here:.3f} [" in found["lowest"]["sentence"]
    assert found["lowest"]["p_holm"] < 0.05
