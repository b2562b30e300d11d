import copy

from skinlab.report.card import render_card
from skinlab.report.page import render_report
from skinlab.report.units import unit_sentences, units_section
from tests.report.conftest import interval


def test_lesions_and_patients_are_columns_beside_images(evidence):
    first = evidence["systems"][0]
    first["units"][1] |= {"binary": {"sensitivity": interval(0.77)}, "support": {"other": 5, "positive": 4}, "note": ""}
    section = units_section(first)
    assert [unit["unit"] for unit in section["units"]] == ["image", "lesion", "patient"]
    values = {row["label"]: [value and value["value"] for value in row["values"]] for row in section["rows"]}
    assert values["Balanced accuracy"] == [0.6, 0.61, None]
    assert values["Sensitivity (p ≥ 0.5)"] == [0.8, 0.7, 0.77]
    text = render_report(evidence)
    assert "By patient" in text[: text.index('id="s2"')]
    assert "Lesions: nv 10, mel 10, from 30 images." in text


def test_a_unit_without_metrics_is_a_sentence(evidence):
    first = evidence["systems"][0]
    assert len(units_section(first)["units"]) == 2
    assert "No positive." in render_report(evidence)
    lesion, patient = unit_sentences(first)
    assert lesion.startswith("By lesion (20 lesions of 30 images): Balanced accuracy 0.610")
    assert patient == "no positive."
    without = copy.deepcopy(first) | {"units": []}
    assert units_section(without) is None


def test_where_lesions_are_not_known_each_image_is_said_to_be_one(evidence):
    first = evidence["systems"][0]
    first["units"][1] |= {"binary": {"sensitivity": interval(0.77)}, "support": {"other": 5, "positive": 4}, "note": ""}
    first["units"][1]["each_image_a_lesion"] = True
    assert "images, each image a lesion): Sensitivity" in unit_sentences(first)[1]
    assert "each image counts as a lesion" in render_report(evidence)


def test_a_sentence_on_a_unit_has_sensitivity_and_specificity(evidence):
    first = evidence["systems"][0]
    names = ("pr_auc_positive", "auroc/positive", "sensitivity", "specificity", "ppv")
    first["units"][1] |= {"binary": dict.fromkeys(names, interval(0.77)), "note": "", "rule": "sensitivity>=0.95"}
    words = unit_sentences(first)[1]
    assert "; Sensitivity (sensitivity ≥ 0.95, p ≥ 0.120) 0.770" in words
    assert words.endswith("; Specificity (sensitivity ≥ 0.95, p ≥ 0.120) 0.770 [0.720, 0.820].")


def test_decisions_at_the_headline_are_counted_on_the_page_and_in_the_card(evidence):
    counts = {"found": 62, "missed": 13.5, "false_alarms": 40, "correctly_negative": 10015}
    for system in evidence["systems"]:
        system["thresholds"][0]["counts"] = counts
        system["units"][0]["counts"] = counts | {"missed": 11}
        system["worst_mistakes"][0]["missed"] = True
    text = render_report(evidence)
    assert "Decisions at sensitivity ≥ 0.95, p ≥ 0.120." in text
    assert '<th scope="row">Missed (false negative)</th><td class="n">13.5</td><td class="n">11</td>' in text
    assert "probability 0.97 (missed)" in text
    assert "highest confidence, missed positives first." in text
    card = render_card(evidence)
    assert "| decision | images | lesions |\n|---|---|---|\n| Found (true positive) | 62 | 62 |\n" in card
    assert "| Correctly negative (true negative) | 10,015 | 10,015 |" in card
