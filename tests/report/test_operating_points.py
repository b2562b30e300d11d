"""Every sensitivity, specificity, PPV, NPV and F1 that is shown names its operating point."""

import re
from pathlib import Path

import pytest

from skinlab.evaluation.evidence.rules import headline_rule
from skinlab.report.card import render_card
from skinlab.report.operating_points import positive_metrics
from skinlab.report.page import render_report
from skinlab.report.terminal import print_evidence
from skinlab.report.wording import DASH
from skinlab.tracking.wandb_evidence import headline
from tests.report.conftest import evidence_of, interval, system

RULE = "sensitivity>=0.95"


def test_the_headline_is_at_the_first_rule_that_all_systems_share():
    one, other = system(), system("other")
    assert headline_rule([one, other]) == RULE
    metrics, words = positive_metrics(one, RULE)
    assert (metrics["sensitivity"]["value"], words) == (0.7, "sensitivity ≥ 0.95, p ≥ 0.120")
    assert metrics["pr_auc_positive"]["value"] == 0.8
    for rows in (None, [], [one["thresholds"][0] | {"rule": "f1"}]):
        assert headline_rule([one, system("other") | {"thresholds": rows}]) is None
    assert positive_metrics(one, None)[1] == "p ≥ 0.5"


def test_the_first_of_several_seeds_and_cross_fits_are_named():
    seeds = system() | {"pooled_folds": None}
    seeds["spread"]["replicate_axis"] = "seed"
    assert positive_metrics(seeds, RULE)[1].endswith("first seed")  # of an older version
    seeds["thresholds"][0]["applied_to"] = "test, mean of 5 seeds, 100 images"
    assert re.search(r"mean of \d seeds$", positive_metrics(seeds, RULE)[1])
    cross = system()
    cross["thresholds"][0]["applied_to"] = "cross-fitted"
    assert positive_metrics(cross, RULE)[1] == "sensitivity ≥ 0.95, cross-fitted"


def test_the_page_and_the_card_name_it_wherever_such_a_metric_stands(evidence):
    page, card = render_report(evidence), render_card(evidence)
    assert "Sensitivity<small> at sensitivity ≥ 0.95, p ≥ 0.120</small>" in page
    assert "Macro F1<small> at most probable class</small>" in page
    assert "Sensitivity, positive (sensitivity ≥ 0.95)" in page  # side by side
    assert "Binary: Sensitivity (p ≥ 0.5)" in page
    assert "Sensitivity, mel (most probable class)" in page
    assert "| Sensitivity (sensitivity ≥ 0.95, p ≥ 0.120) | 0.700" in card
    assert "are of the most probable class" in card
    plain = evidence_of([system() | {"thresholds": None}])
    assert "Sensitivity<small> at p ≥ 0.5</small>" in render_report(plain)
    assert "| Sensitivity (p ≥ 0.5) | 0.800" in render_card(plain)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_headline_is_of_the_called_class(n, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    values = {name: interval(0.65) for name in ("balanced_accuracy", "accuracy", "f1_macro", "recall/mel")}
    rule = {"rule": "prior:auto", "power": 0.5, "decide_by": "accuracy", "classes": ["nv", "mel"], "weights": [1, 2]}
    rule |= {"chosen_on": "val, 40 images", "applied_to": "test, 30 images", "metrics": values, "differences": values}
    evidence = evidence_of([system(f"s{i}") | {"decision": rule} for i in range(n)])
    for each in evidence["systems"]:
        each["metrics"] |= {"f1_positive": interval(0.8), "pr_auc_positive": interval(0.8)}
    page, card = render_report(evidence), render_card(evidence)
    assert re.search(r"Macro F1<small> at called class, prior:auto</small></dt>\s*<dd class=.big.>0.650", page)
    assert "Balanced accuracy<small> at called class, prior:auto</small>" in page
    assert (n == 1) == ("Macro F1 (called class, prior:auto)" not in page)  # side by side
    assert "| Macro F1 (called class, prior:auto) | 0.650" in card
    print_evidence(evidence, Path("DIR"))
    assert n == 3 or "Macro F1 (called class, prior:auto)" in re.sub(r"\s+", " ", capsys.readouterr().out)
    evidence["systems"][0]["decision"] = None
    assert n == 1 or "Macro F1<small> at most probable class</small>" in render_report(evidence)


def in_terminal(n, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    evidence = evidence_of([system(f"s{i}") for i in range(n)])
    for each in evidence["systems"]:
        each["metrics"] |= {"f1_positive": interval(0.8), "pr_auc_positive": interval(0.8)}
    print_evidence(evidence, Path("DIR"))
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def test_the_terminal_tells_threshold_sensitivity_and_specificity_apart(capsys, monkeypatch):
    text = in_terminal(1, capsys, monkeypatch)
    for words in ("threshold", "sensitivity", "specificity", "F1", "chosen on val, 40 images, applied to test"):
        assert words in text
    assert "0.120" in text
    assert f"0.080{DASH}0.200" in text
    assert "sensitivity ≥ 0.95" in text
    assert "mean distance (ICI) 0.060" in text
    assert "Conformal sets for 90\xa0% of the lesions: 0.910 [0.880, 0.940] are covered" in text.replace(
        "90 %", "90\xa0%"
    )


@pytest.mark.parametrize("n", [2, 3])
def test_of_several_systems_the_terminal_names_the_rule_of_the_headline_alone(n, capsys, monkeypatch):
    text = in_terminal(n, capsys, monkeypatch)
    assert "F1, positive (mel; sensitivity ≥ 0.95)" in text
    assert "chosen on val" not in text


def test_wandb_keeps_the_rules_apart():
    flat = headline(system(), "test")
    assert flat["test/sensitivity"] == 0.8
    assert flat[f"test/at {RULE}/sensitivity"] == 0.7
    assert flat[f"test/at {RULE}/threshold_low"] == 0.08


def test_the_parts_of_one_training_name_it(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    one = system("loss=ce") | {"pooled_folds": None}
    one["spread"] |= {"replicate_axis": "seed", "metrics": {"balanced_accuracy": {"values": {"3": 0.59, "5": 0.61}}}}
    print_evidence(evidence_of([one]), Path("out"))
    printed = capsys.readouterr().out
    assert "- loss=ce, seed 3: Log-loss after calibration" in printed
    assert "- loss=ce, seed 3: Conformal sets" in printed
    page, card = render_report(evidence_of([one])), render_card(evidence_of([one]))
    assert "The predictions are those of seed 3, one of 2 trainings." in page
    assert "Calibration and conformal sets are those of seed 3, one of 2 trainings." in card
    assert "whose intervals count the 2 trainings" in page
    pooled = evidence_of([system()])  # folds put together: of all of them
    assert "one of 2 trainings" not in render_report(pooled) + render_card(pooled)
    print_evidence(pooled, Path("out"))
    assert "- lite0: Log-loss after calibration" in capsys.readouterr().out


def test_the_lowest_subgroup_is_printed_where_it_differs_significantly(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    one = system()
    print_evidence(evidence_of([one]), Path("out"))
    assert one["subgroups"]["lowest"]["sentence"] in capsys.readouterr().out
    one["subgroups"]["lowest"]["p_holm"] = 0.05
    print_evidence(evidence_of([one]), Path("out"))
    assert one["subgroups"]["lowest"]["sentence"] not in capsys.readouterr().out
    assert one["subgroups"]["lowest"]["sentence"] in render_report(evidence_of([one]))
