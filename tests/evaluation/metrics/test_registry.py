from pathlib import Path

import numpy as np
import pytest

from skinlab.callbacks.assembly import check_monitor, monitor_mode
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.evaluation.evidence.system import system_evidence
from skinlab.evaluation.metrics import registry as metric_registry
from skinlab.evaluation.metrics.registry import METRICS, Metric, metric_label, reported_metrics
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.statistics.comparison import compare
from skinlab.evaluation.statistics.study import bootstrap_trainings
from skinlab.evaluation.statistics.trainings import metric_estimate
from skinlab.models.epoch_metrics import epoch_metric_names
from skinlab.report.card import render_card
from skinlab.report.page import render_report
from skinlab.report.terminal import print_evidence, print_results
from tests.evaluation.evidence.test_system import QUICK, rows

PLACES = ("terminal", "page", "card", "subgroups", "leaderboard", "picture", "picture_of_two", "calibration")
TOY = Metric(
    "doubt",
    "Mean doubt",
    lambda w: w.mean(1 - w.arrays.confidence),
    direction="min",
    shown=PLACES,
    meaning="what the confidence lacks to one",
    epoch=True,
)


def test_every_name_is_one_entry():
    keys = [(metric.name, metric.scope == "class") for metric in METRICS]
    assert len(set(keys)) == len(keys)
    labels = [metric.label for metric in METRICS if metric.scope != "class"]
    assert len(set(labels)) == len(labels)
    assert all(metric.meaning for metric in METRICS if "page" in metric.shown and metric.scope != "class")


def test_an_entry_is_all_that_a_new_metric_needs(monkeypatch, capsys):
    monkeypatch.setattr(
        metric_registry, "METRICS", [TOY, *METRICS]
    )  # first: the table of many systems has room for three
    monkeypatch.setenv("COLUMNS", "200")
    assert "doubt" in epoch_metric_names(["nv", "mel"])
    check_monitor("val/doubt", ["nv", "mel"], [3, 4])
    assert monitor_mode("val/doubt") == "min"
    table = rows()
    metrics = classification_metrics(table.probabilities, table.target, table.classes)
    assert metrics["doubt"] == pytest.approx((1 - table.probabilities.max(1)).mean())
    other = table.with_probabilities(table.probabilities**2 / (table.probabilities**2).sum(1, keepdims=True))
    found = [system_evidence(name, [each], EvaluationSettings(**QUICK)) for name, each in (("x", table), ("y", other))]
    (comparison,) = compare([("x", found[0].trainings), ("y", found[1].trainings)], ["doubt"])
    assert "mean doubt" in comparison.sentence()
    table_draws = bootstrap_trainings({0: table}, ["doubt"], n_draws=100)
    assert metric_estimate(table_draws, "doubt").value == pytest.approx(metrics["doubt"])
    system = {
        "sources": [{"split": "val", "path": "p.csv", "meta": {}}],
        "training_overlap": None,
        "init_used": "random",
    }
    evidence = {
        "settings": {"classes": table.classes, "positive": None, "level": 0.95, "prevalence": None, "cost_ratio": 1.0},
        "provenance": {"config": {}},
        "systems": [system | each.block for each in found],
        "comparisons": [],
        "cautions": [],
    }
    assert "doubt" in evidence["systems"][0]["subgroups"]["subgroups"][0]["metrics"]
    for page in (render_report(evidence), render_card(evidence)):
        assert "Mean doubt" in page
    print_evidence(evidence, Path("DIR"))
    print_evidence(evidence | {"systems": [evidence["systems"][0] | {"name": name} for name in "xyz"]}, Path("DIR"))
    run = {f"val/{name}": value for name, value in metrics.items()} | {"best/epoch": 0, "init_used": "random"}
    print_results(run, Path("run"))
    assert capsys.readouterr().out.count("Mean doubt") == 3


def test_the_names_are_those_of_two_or_more_classes():
    assert "sensitivity" not in reported_metrics(["a", "b", "c"])
    assert {"sensitivity", "npv", "npv/a"} <= reported_metrics(["a", "b"]).keys()
    assert metric_label("npv/a") == "NPV, a (most probable class)"


def test_a_metric_alone_is_that_of_all_together():
    table = rows()
    some = classification_metrics(table.probabilities, table.target, table.classes, names=["auroc/b", "mcc"])
    everything = classification_metrics(table.probabilities, table.target, table.classes)
    assert some == {name: everything[name] for name in ("mcc", "auroc/b")}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: f"{metric.name}-{metric.scope}")
def test_every_metric_stays_within_its_bounds(metric):
    table = rows()
    p, target, classes = table.probabilities, table.target, table.classes
    if metric.scope == "positive":
        p, target, classes = np.stack([1 - p[:, 0], p[:, 0]], axis=1), (target == 0).astype(int), ["rest", classes[0]]
    names = [name for name, (each, _) in reported_metrics(classes).items() if each is metric]
    values = classification_metrics(p, target, classes)
    assert names
    assert all(metric.bounds[0] <= values[name] <= metric.bounds[1] for name in names)
