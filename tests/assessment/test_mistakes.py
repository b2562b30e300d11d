"""Pictures of the worst mistakes: of the network that made them, or none."""

import base64
import io
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinlab.assessment import mistakes
from skinlab.assessment.mistakes import add_saliency, overlays
from skinlab.errors import UserError
from skinlab.inference.bundle import load_bundle
from skinlab.inference.overlays import overlay
from skinlab.processes import progress
from tests.run_directory import write_run

CLASSES = ["a", "b"]


@pytest.fixture(scope="module")
def runs(save_classifier, tmp_path_factory) -> list[Path]:
    """Two networks of different weights that both predicted images 0 to 3."""
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    for i in range(4):
        blurred = rng.integers(0, 256, (5, 6, 3), np.uint8)
        Image.fromarray(blurred).resize((60, 50)).save(root / f"{i}.jpg")
    for seed in (0, 1):
        run = root / f"run{seed}"
        save_classifier(run / "checkpoints" / "best.ckpt", CLASSES, seed=seed)
        write_run(run, config=None, metrics=None, test=pd.DataFrame({"image_id": list("0123")}))
    return [root / "run0", root / "run1"]


def system(*places: Path, images: str = "01", called: str = "b", **more):
    sources = [
        {"path": str(p / "predictions" / "test.csv"), "meta": {"checkpoint_sha256": load_bundle(p).sha256}}
        for p in places
    ]
    worst = [
        {
            "image_id": i,
            "label": "a",
            "predicted": called,
            "probability": 0.9,
            "path": str(places[0].parent / f"{i}.jpg"),
        }
        for i in images
    ]
    return {"name": "s", "sources": sources, "worst_mistakes": worst, "spread": None, "pooled_folds": None} | more


def test_images_are_steps_of_the_progress(runs, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    for name, value in (("FIRST_LINE", 0), ("NEXT_LINE", 0)):
        monkeypatch.setattr(progress, name, value)
    monkeypatch.setattr(mistakes, "STEP", 1)
    overlays(system(runs[0], images="01"))
    shown = [record.message for record in caplog.records if "Grad-CAM" in record.message]
    assert [text.split(",")[0] for text in shown] == [f"Grad-CAM of the worst mistakes: {n} of 2" for n in (1, 2)]


def test_jpegs_by_image_of_what_is_there(runs):
    found = overlays(system(runs[0], images="019"))
    assert sorted(found) == ["0", "1"], "9 is not there"
    with Image.open(io.BytesIO(found["0"])) as picture:
        assert (picture.format, picture.size) == ("JPEG", (240, 240))
    assert overlays(system(runs[0], called="positive")) == {}
    assert overlays(system(runs[0], images="")) == {}


def test_systems_get_pictures_of_their_own(runs):
    evidence = {"systems": [system(runs[0]), system(runs[1], called="a")]}
    before = json.dumps(evidence)
    first, second = add_saliency(evidence, "auto")["systems"]
    assert json.dumps(evidence) == before
    pictures = [each["worst_mistakes"][0]["saliency"] for each in (first, second)]
    assert pictures[0] != pictures[1]
    prefix, _, content = pictures[0].partition(",")
    assert prefix == "data:image/jpeg;base64"
    assert base64.b64decode(content) == overlays(system(runs[0]))["0"]
    assert add_saliency(evidence, False) is evidence


def test_an_ensemble_averages_its_members_and_seeds_show_the_first(runs):
    first, second = overlays(system(runs[0]))["0"], overlays(system(runs[1]))["0"]
    both = overlays(system(*runs))["0"]
    assert both not in (first, second)
    seeds = system(*runs, spread={"replicate_axis": "seed"})
    assert overlays(seeds)["0"] == first
    pooled_pair = system(*runs, spread={"replicate_axis": "fold"}, pooled_folds=[0, 1])
    assert overlays(pooled_pair)["0"] == both


def test_of_pooled_folds_each_image_is_shown_to_the_network_that_predicted_it(runs, tmp_path):
    folds = []
    for i, run in enumerate(runs):
        folds.append(Path(shutil.copytree(run, tmp_path / f"fold{i}")))
        pd.DataFrame({"image_id": [str(i)]}).to_csv(folds[i] / "predictions" / "test.csv", index=False)
    for image in range(2):
        shutil.copy(runs[0].parent / f"{image}.jpg", tmp_path)
    pooled = overlays(system(*folds, spread={"replicate_axis": "fold"}, pooled_folds=[0, 1]))
    assert pooled == {"0": overlays(system(runs[0]))["0"], "1": overlays(system(runs[1]))["1"]}


def test_another_checkpoint_than_the_one_that_predicted_is_not_shown(runs, caplog):
    stale = system(runs[0])
    stale["sources"][0]["meta"]["checkpoint_sha256"] = "0"
    shown = add_saliency({"systems": [stale, system(runs[1])]}, "auto")["systems"]
    assert "saliency" not in shown[0]["worst_mistakes"][0]
    assert "saliency" in shown[1]["worst_mistakes"][0]
    assert "no longer the one of its predictions" in caplog.text
    with pytest.raises(UserError, match="no longer the one"):
        add_saliency({"systems": [stale]}, True)


def test_what_must_be_and_can_t_be_is_refused(runs):
    table = system(runs[0])
    for row in table["worst_mistakes"]:
        row["path"] = None
    assert add_saliency({"systems": [table]}, "auto") == {"systems": [table]}
    with pytest.raises(UserError, match="saliency=true: s has no run"):
        add_saliency({"systems": [table]}, True)


def test_only_the_salient_part_of_the_image_is_coloured():
    image = np.full((4, 4, 3), 100, np.uint8)
    strength = np.zeros((4, 4))
    strength[0, 0] = 1
    shown = overlay(image, strength)
    assert (shown[1:] == 100).all()
    assert (shown[0, 0] != 100).any()


def test_tables_are_evaluated_without_torch(tmp_path):
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1], 40)
    rows = {"image_id": [f"i{i}" for i in range(40)], "label": rng.choice(CLASSES, 40)}
    pd.DataFrame(rows | {"prob_a": p[:, 0], "prob_b": p[:, 1]}).to_csv(tmp_path / "t.csv", index=False)
    words = [f"predictions={tmp_path}/t.csv", f"output={tmp_path}/o", "positive=b", "n_draws=100", "calibration=false"]
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['evaluate', *{words!r}]\n"
        "runpy.run_module('skinlab.evaluate', run_name='__main__')\n"
        "print('torch' in sys.modules, 'wandb' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip().splitlines()[-1] == "False False", done.stderr
    assert (tmp_path / "o" / "report.html").is_file()
