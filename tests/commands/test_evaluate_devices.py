"""Tables of two devices compared as typed: other names of columns, missing images, a threshold fixed beforehand."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.evidence_schema import validate_evidence

NAMES = {"image_id": "File name", "label": "Histology", "score": "Malignancy score (%)", "patient": "Patient number"}
COLUMNS = [
    'columns.image_id="File name"',
    "columns.label=Histology",
    'columns.patient="Patient number"',
    'columns.prob={malignant: "Malignancy score (%)"}',
    "label_map={melanoma: malignant, nevus: benign}",
    "thresholds=[p>=0.3]",
    *("n_draws=100", "calibration=false"),
]


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """Two tables of 160 images of 80 patients, as a German Excel writes them; the second lacks two images."""
    folder, rng = tmp_path_factory.mktemp("devices"), np.random.default_rng(0)
    truth = rng.random(160) < 0.4
    frame = pd.DataFrame({"image_id": [f"IMG_{k:04}.jpg" for k in range(160)], "patient": np.arange(160) // 2})
    frame["label"] = np.where(truth, "melanoma", "nevus")
    frame["site"] = "R\u00fccken"
    for name, noise in (("a", 0.2), ("b", 0.3)):
        score = np.clip(0.25 + 0.4 * truth + rng.normal(0, noise, 160), 0.01, 0.99).round(2)
        table = frame.assign(score=100 * score).rename(columns=NAMES) if name == "a" else frame.assign(score=score)[2:]
        table.to_csv(folder / f"{name}.csv", sep=";", decimal=",", index=False, encoding="cp1252")
    return folder


def evidence_of(run, devices, output, *words):
    done = run("evaluate", f"predictions=[{devices}/a.csv,{devices}/b.csv]", f"output={output}", *COLUMNS, *words)
    assert done.returncode == 0, done.stderr
    validate_evidence(output)
    return done, json.loads((output / "evidence.json").read_text())


def test_tables_of_other_images_are_refused_with_both_files_and_the_remedy(run, devices, tmp_path):
    done = run("evaluate", f"predictions=[{devices}/a.csv,{devices}/b.csv]", f"output={tmp_path / 'out'}", *COLUMNS)
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert line == (
        f"error: b ({devices}/b.csv) has no row for 2 images that a ({devices}/a.csv) has, IMG_0000.jpg, IMG_0001.jpg; "
        "give predictions of the same images, or evaluate those that all systems have: common=true"
    )
    assert not (tmp_path / "out").exists()


def test_the_images_in_common_are_compared_at_the_fixed_threshold(run, devices, tmp_path):
    done, evidence = evidence_of(run, devices, tmp_path / "out", "common=true")
    a, b = evidence["systems"]
    assert (a["rows"], b["rows"]) == (158, 158)
    assert a["flow"]["left_out"] == {"not in every system": 2}
    assert (a["flow"]["found"], a["flow"]["kept"], b["flow"]["left_out"]) == (160, 158, {})
    caution = "a: 2 images that not every system has are left out (common=true): IMG_0000.jpg, IMG_0001.jpg."
    assert caution in evidence["cautions"]
    page = " ".join((tmp_path / "out" / "report.html").read_text().split())
    for text in (" ".join(done.stdout.split()), page):
        assert "2 images that not every system has are left out" in text
    assert a["sources"][0]["columns"]["prob.malignant"] == "Malignancy score (%)"
    found = {pair["metric"]: pair for pair in evidence["comparisons"]}
    assert list(found)[-2:] == ["sensitivity", "specificity"]
    assert len(found) == 7
    for name in ("sensitivity", "specificity"):
        values = [each["thresholds"][0][name]["value"] for each in (a, b)]
        assert found[name]["difference"]["value"] == pytest.approx(values[1] - values[0])
        assert found[name]["operating_point"] == "p \u2265 0.3, fixed beforehand"


def test_of_borrowed_labels_images_without_one_are_left_out_and_counted(run, devices, tmp_path):
    """The first table has no labels; the second, which lends them, lacks two of its images."""
    unlabelled = pd.read_csv(devices / "a.csv", sep=";", encoding="cp1252").drop(columns=NAMES["label"])
    unlabelled.to_csv(tmp_path / "a.csv", sep=";", index=False, encoding="cp1252")
    words = [
        f"predictions=[{tmp_path}/a.csv,{devices}/b.csv]",
        f"output={tmp_path / 'out'}",
        *COLUMNS[:1],
        *COLUMNS[2:],
    ]
    refused = run("evaluate", *words)
    assert refused.returncode == 2
    assert "b.csv lacks 2 of 160 images of" in refused.stderr
    assert refused.stderr.strip().endswith("or evaluate those that all systems have: common=true")
    done = run("evaluate", *words, "common=true")
    assert done.returncode == 0, done.stderr
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text())
    a, b = evidence["systems"]
    assert (a["rows"], b["rows"]) == (158, 158)
    assert (a["flow"]["found"], a["flow"]["left_out"]) == (160, {"not in every system": 2})
    caution = (
        f"a: 2 images are left out, since {devices}/b.csv lacks the labels (common=true): IMG_0000.jpg, IMG_0001.jpg."
    )
    assert caution in evidence["cautions"]


def test_without_an_image_in_common_nothing_is_compared(run, devices, tmp_path):
    other = pd.read_csv(devices / "b.csv", sep=";", encoding="cp1252")
    other.assign(image_id="x" + other["image_id"]).to_csv(tmp_path / "x.csv", sep=";", index=False)
    words = [
        f"predictions=[{devices}/a.csv,{tmp_path}/x.csv]",
        f"output={tmp_path / 'out'}",
        *COLUMNS,
        "unpaired=false",
    ]
    done = run("evaluate", *words, "common=true")
    assert done.returncode == 2
    assert "common=true: no image is in each of a (" in done.stderr
