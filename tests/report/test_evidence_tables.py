"""The terminal shows several systems briefly, and drops no warning."""

import re
from pathlib import Path

import pytest

from skinlab.evaluation.metrics.registry import find_metric
from skinlab.report.evidence_tables import label_in_table
from skinlab.report.in_short import in_short
from skinlab.report.terminal import print_evidence
from skinlab.report.wording import MINUS
from tests.report.conftest import evidence_of, of_different_images, system


def printed(evidence, capsys):
    print_evidence(evidence, Path("DIR"))
    return capsys.readouterr().out


def several(n):
    evidence = evidence_of([system(f"net{i}") for i in range(n)])
    names = [each["name"] for each in evidence["systems"]]
    (first, *_) = evidence["comparisons"]
    evidence["comparisons"] = [
        first | {"a": b, "b": a, "metric": metric, "claim": "weights", "significant": metric == "brier" and b == "net1"}
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        for metric in ("balanced_accuracy", "pr_auc_macro", "auroc_macro", "f1_macro", "brier")
    ]
    evidence["cautions"] += [f"{name}: chosen on {i} positives, uncertain." for i, name in enumerate(names)]
    evidence["cautions"] += [f"{name}: trained on procedural images." for name in names]
    return evidence


@pytest.mark.parametrize(("n", "most"), [(2, 40), (10, 60)])
def test_several_systems_are_a_page(n, most, capsys):
    evidence = several(n)
    text = printed(evidence, capsys)
    assert len(text.splitlines()) <= most
    assert all(each["name"] in text for each in evidence["systems"])
    assert "report: DIR/report.html" in text


def test_a_warning_is_printed_once_with_all_that_it_is_of(capsys):
    text = " ".join(printed(several(3), capsys).split())
    assert text.count("! One clinic only.") == 1
    assert text.count("trained on procedural images") == 1
    assert "! net0, net1, net2: trained on procedural images." in text
    assert "! net0: chosen on 0 positives, uncertain. (Of net1, net2 with other numbers: report.html.)" in text


def test_ten_comparisons_are_printed_the_significant_ones_first_and_the_others_counted(capsys):
    text = printed(several(4), capsys)
    assert "10 of 30, the others in report.html" in " ".join(text.split())
    rows = [line for line in text.splitlines() if " less " in line]
    assert len(rows) == 10
    assert "net1 less net0" in rows[0]
    assert "Brier" in rows[0]
    assert "net1 is no worse. 1 of 30 differences is significant." in " ".join(text.split())


def test_without_a_significant_difference_the_terminal_says_of_what_they_are(capsys):
    evidence = several(3)
    for pair in evidence["comparisons"]:
        pair["significant"] = False
    sentence = "- 0 of 15 differences are significant; of these weights (one training each), not of the recipes."
    assert sentence in " ".join(printed(evidence, capsys).split())


def test_metrics_of_which_lower_is_better_say_so(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    lines = printed(several(2), capsys).splitlines()
    assert all("lower is better" in line for line in lines if "Brier" in line or "Log-loss" in line)
    assert [line for line in lines if "lower is better" in line]
    assert label_in_table(find_metric("ece"), []) == "ECE (lower is better)"
    assert not [line for line in lines if "AUROC" in line and "lower" in line]


def test_a_difference_without_an_interval_says_so(capsys):
    evidence = several(2)
    evidence["comparisons"][0] |= {"difference": {"value": 0.02, "low": float("nan"), "high": float("nan")}}
    assert "+0.020 (no interval)" in printed(evidence, capsys)


def test_of_a_primary_endpoint_the_sentence_is_printed(capsys):
    evidence = several(2)
    evidence["comparisons"][-1] |= {"role": "primary", "sentence": "Primary endpoint: x."}
    text = printed(evidence, capsys)
    assert "- Primary endpoint: x." in text
    assert "Brier" in next(line for line in text.splitlines() if "+0.020" in line)


def test_differences_on_different_images_stand_beside_the_values_that_they_are_of(capsys):
    text = printed(of_different_images(), capsys).replace(MINUS, "-")
    assert "differences over mel and nv: home less away" in text
    row = next(line for line in text.splitlines() if "-0.066" in line)
    assert row.index("0.518") < row.index("0.584") < row.index("-0.066")
    assert in_short(of_different_images())[-1].answer.endswith(" Every difference is over mel and nv.")


def test_patients_with_images_of_both_classes_are_counted(capsys):
    both = {"groups": 155, "group_unit": "patient", "groups_per_class": {"nv": 102, "mel": 75}}
    text = " ".join(printed(evidence_of([system() | both]), capsys).split())
    assert "155 patients (nv 102, mel 75; 22 patients have images of both)" in text


def test_of_many_systems_the_highest_are_printed(capsys):
    evidence, names = evidence_of([system(f"run {i}") for i in range(20)]), [f"run {i}" for i in reversed(range(20))]
    best = {
        "metric": "balanced_accuracy",
        "operating_point": "",
        "systems": names[:1],
        "sentence": "The best is run 19.",
    }
    evidence |= {"comparisons": [], "best": [best | {"highest": names[0], "p": dict.fromkeys(names, 0.5)}]}
    text = " ".join(printed(evidence, capsys).split())
    assert re.findall(r"│ (run \d+)", text) == names[:12]
    assert "12 of 20 systems, the others in report.html" in text
