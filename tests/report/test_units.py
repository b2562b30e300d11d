import copy

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
