"""One command compares test-time augmentations: tables, costs and evidence from one reading of the images."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from skinlab.assessment.openings import read_openings
from skinlab.commands import tta as tta_study
from skinlab.data.images import read_image
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.errors import UserError
from skinlab.inference.bundle import load_bundle
from skinlab.inference.compare_views import timed
from skinlab.models.prediction import predict_probabilities
from skinlab.tables.predictions import read_predictions
from tests.command_settings import invocation_of, settings_of
from tests.evidence_schema import validate_evidence
from tests.run_directory import write_run

CLASSES = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
QUICK = {"n_draws": 100, "calibration": False, "num_workers": 0, "compare_by": ["auroc_macro"]}


@pytest.fixture(scope="module")
def untrained(phantom: Path, save_classifier, tmp_path_factory) -> Path:
    """What a training leaves, less the training."""
    run = tmp_path_factory.mktemp("run")
    save_classifier(run / "checkpoints" / "best.ckpt", CLASSES)
    rows = read_ham10000(phantom).assign(fold=0)
    rows["split"] = ["test" if i % 2 else "val" for i in range(len(rows))]
    return write_run(run, split=rows)


def run_tta(run: Path, folder: Path, **more: Any) -> None:
    settings = settings_of("tta", **QUICK | {"ckpt": run, "output": folder} | more)
    tta_study.tta(settings, invocation_of("tta"))


@pytest.fixture(scope="module")
def studied(untrained: Path, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("study") / "out"
    run_tta(untrained, output, positive=["mel", "bcc"], thresholds=["f1"])
    return output


def test_every_augmentation_has_its_table_system_and_cost(studied: Path):
    validate_evidence(studied)
    evidence = json.loads((studied / "evidence.json").read_text())
    names = ["none", "flips", "d4", "multicrop"]
    assert [system["name"] for system in evidence["systems"]] == names
    assert [(cost["name"], cost["views"]) for cost in evidence["tta"]] == list(zip(names, (1, 3, 8, 6), strict=True))
    assert evidence["tta"][0]["ratio"] == 1
    assert all(cost["seconds_per_1000"] > 0 for cost in evidence["tta"])
    assert evidence["tta"][2]["ratio"] > 1, "eight views take longer than one"
    assert {(pair["a"], pair["b"]) for pair in evidence["comparisons"]} == {(name, "none") for name in names[1:]}
    assert evidence["systems"][0]["thresholds"][0]["applied_to"] == "cross-fitted"
    assert (studied / "report.html").is_file()
    assert (studied / "model_card.md").is_file()
    for name, system in zip(names, evidence["systems"], strict=True):
        assert len(read_predictions(studied / "predictions" / f"{name}.csv")) == system["rows"]
        assert system["sources"][0]["meta"]["tta"] == name
        assert system["sources"][0]["split"] == "val"
        assert system["test_access"]["openings"] == 0
    assert json.loads((studied / "predictions" / "meta.json").read_text())["classes"] == CLASSES


def test_tables_are_those_that_predict_would_write(studied: Path, untrained: Path):
    rows = pd.read_csv(untrained / "split.csv", dtype=str).query("split == 'val'")
    images = np.stack([read_image(path, 32, "crop") for path in rows["path"]])
    batch = {"image": torch.from_numpy(images).permute(0, 3, 1, 2)}
    for name in ("none", "d4"):
        table = pd.read_csv(studied / "predictions" / f"{name}.csv", dtype={"image_id": str})
        assert table["image_id"].tolist() == rows["image_id"].tolist()
        expected = predict_probabilities(load_bundle(untrained).classifier, [batch], tta=name)
        np.testing.assert_allclose(table.filter(like="prob_"), expected, atol=2e-6)


def test_the_report_shows_where_the_network_looked(studied: Path):
    worst = [row for s in json.loads((studied / "evidence.json").read_text())["systems"] for row in s["worst_mistakes"]]
    assert worst
    assert all(row["path"] for row in worst)
    assert not any("saliency" in row for row in worst), "pictures belong to the page"
    assert (studied / "report.html").read_text().count("Grad-CAM of") == len(worst)


def test_an_augmentation_of_an_invariant_network_is_none():
    def brightness(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.float().mean((1, 2, 3)) / 50, torch.zeros(len(x))], 1)

    batches = [{"image": torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8)} for n in (9, 9, 3)]
    found, seconds = timed(brightness, batches, ["none", "d4"], torch.device("cpu"))
    np.testing.assert_allclose(found["none"], found["d4"], atol=1e-6)
    assert found["none"].shape == (21, 2)
    assert all(len(each) == 3 and (each > 0).all() for each in seconds.values())


def test_none_is_always_there_and_the_test_is_opened_for_one_augmentation(untrained: Path, tmp_path: Path):
    run_tta(untrained, tmp_path / "o", tta=["flips"], split="test", saliency=False)
    evidence = json.loads((tmp_path / "o" / "evidence.json").read_text())
    assert [system["name"] for system in evidence["systems"]] == ["none", "flips"]
    assert evidence["systems"][0]["sources"][0]["split"] == "test"
    assert [each["command"] for each in read_openings(untrained)] == ["tta"]
    assert "Grad-CAM of" not in (tmp_path / "o" / "report.html").read_text()


MISTAKES = [
    ({"tta": ["flips", "d4"], "split": "test"}, r"the test chooses no augmentation among flips, d4; .*tta=\[flips\]"),
    ({"tta": ["flip"]}, r"tta=flip: choose none, flips, d4, multicrop \(did you mean flips\?\)"),
    ({"ckpt": "/nowhere"}, "is no run"),
    ({"ckpt": None}, "ckpt= is missing"),
    ({"output": None}, "output= is missing"),
    ({"split": "train"}, "split=train: auto, val or test is expected"),
    ({"device": "gpu"}, "device=gpu: auto, cpu or cuda is expected"),
    ({"positive": ["cat"]}, "positive=cat"),
    ({"compare_by": ["speed"]}, "compare_by=speed: no such metric"),
    ({"saliency": "maybe"}, "saliency=maybe: true or false or auto is expected"),
]


@pytest.mark.parametrize(("more", "told"), MISTAKES)
def test_mistakes_are_told_before_anything_is_predicted(untrained: Path, tmp_path: Path, monkeypatch, more, told):
    monkeypatch.setattr(tta_study, "predict_views", lambda *_: pytest.fail("predicted"))
    with pytest.raises(UserError, match=told):
        run_tta(untrained, tmp_path / "o", **more)
    assert not (tmp_path / "o").exists()


def damaged(run: Path, to: Path, mend) -> Path:
    shutil.copytree(run, to)
    table = pd.read_csv(to / "split.csv", dtype=str)
    mend(to, table)
    table.to_csv(to / "split.csv", index=False)
    return to


def test_rows_that_can_t_be_predicted_are_told(untrained: Path, tmp_path: Path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")

    def names(column: str, value: str):
        return lambda _, table: table.__setitem__(column, table[column].where(table.index != 1, value))

    for i, (column, value, told) in enumerate(
        [
            ("path", "/gone.jpg", r"1 of \d+ images of .*split.csv is missing: /gone.jpg"),
            ("path", str(tmp_path / "bad.jpg"), r"bad\.jpg is not a whole JPEG.*fix it"),
            ("label", "wart", "1 row of test without a label of the run's classes"),
        ]
    ):
        run = damaged(untrained, tmp_path / str(i), names(column, value))
        with pytest.raises(UserError, match=told):
            run_tta(run, tmp_path / "o", tta=["flips"], split="test")
        assert not (tmp_path / "o").exists()
    (run / "split.csv").unlink()
    with pytest.raises(UserError, match=r"has no split\.csv"):
        run_tta(run, tmp_path / "o", tta=["flips"], split="test")


def test_the_command_reports_a_mistake_in_one_line(run):
    done = run("tta", "views=flip,none", "ckpt=.", "output=o")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: views=flip: choose none, flips, d4")
    assert len(done.stderr.strip().splitlines()) == 1
    assert run("tta", "--help").stdout.startswith("python -m skinlab.tta: ")
