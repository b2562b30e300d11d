"""Commands that take a run take a sweep: what is fitted is fitted out of fold, and each run predicts its own rows."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from skinlab.assessment.sweeps import over_folds, validation_of_members
from skinlab.commands.bundle import bundle
from skinlab.commands.tta import tta
from skinlab.errors import UserError
from skinlab.evaluation.thresholds.choice import choose_threshold
from skinlab.inference.bundle import load_bundle
from skinlab.mining.pool import open_pool, runs_of
from skinlab.runs.backbone_record import find_init
from tests.command_settings import invocation_of, settings_of
from tests.sweep import FOCAL, write_member


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder, generator = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(48):
        pixels = cv2.resize(generator.integers(0, 256, (4, 5, 3), np.uint8), (50, 40))
        cv2.imwrite(str(folder / f"i{i}.png"), pixels)
    return [str(folder / f"i{i}.png") for i in range(48)]


@pytest.fixture
def sweep(save_classifier, paths: list[str], tmp_path: Path) -> Path:
    for fold in (0, 1):
        write_member(tmp_path / "sweep" / str(fold), save_classifier, paths, fold=fold)
    return tmp_path / "sweep"


def test_members_have_the_predictions_out_of_fold_of_their_seed(sweep: Path, save_classifier, paths):
    runs = [sweep / "0", sweep / "1"]
    tables = validation_of_members(runs)
    expected = pd.concat([pd.read_csv(run / "predictions" / "val.csv") for run in runs])
    assert over_folds(runs)
    assert not over_folds(runs[:1])
    assert sorted(tables[0].image_id) == sorted(expected["image_id"])
    assert tables[0] is tables[1]
    write_member(sweep / "2", save_classifier, paths, loss=FOCAL)
    with pytest.raises(UserError, match="of several recipes; give those of one"):
        validation_of_members([*runs, sweep / "2"])
    with pytest.raises(UserError, match="lacks fold 1 of 2; train it with the settings of the other folds"):
        validation_of_members([sweep / "0", write_member(sweep / "3", save_classifier, paths, fold=1, seed=1)])


def test_a_bundle_of_a_sweep_has_all_networks_and_thresholds_chosen_out_of_fold(sweep: Path, tmp_path: Path):
    output = tmp_path / "b.bundle"
    bundle(settings_of("bundle", ckpt=sweep, output=output, thresholds=["f1"], gate="none", num_workers=0))
    made = load_bundle(output)
    rows = pd.concat([pd.read_csv(sweep / str(fold) / "predictions" / "val.csv") for fold in (0, 1)])
    truth = (rows["label"] == "malignant").to_numpy()
    assert len(made.members) == 2
    assert made.thresholds[0].threshold == pytest.approx(
        choose_threshold(rows["prob_malignant"].to_numpy(), truth, "f1")
    )
    assert made.thresholds[0].chosen_on == "out of fold, 48 images"


def test_views_of_a_sweep_are_compared_out_of_fold(sweep: Path, tmp_path: Path):
    quick = {"n_draws": 100, "calibration": False, "num_workers": 0, "compare_by": [], "saliency": False}
    tta(settings_of("tta", ckpt=sweep, output=tmp_path / "t", tta=["flips"], **quick), invocation_of("tta"))
    evidence = json.loads((tmp_path / "t" / "evidence.json").read_text())
    assert [system["name"] for system in evidence["systems"]] == ["none", "flips"]
    assert [system["rows"] for system in evidence["systems"]] == [48, 48]
    assert all(len(system["sources"]) == 2 for system in evidence["systems"])
    (sweep / "1" / "metrics.json").unlink()
    with pytest.raises(UserError, match="1: this run was not finished"):
        tta(settings_of("tta", ckpt=sweep, output=tmp_path / "u", tta=["flips"], **quick), invocation_of("tta"))


def test_the_pool_of_a_sweep_is_what_is_in_that_of_every_run(sweep: Path):
    for fold in (0, 1):
        table = pd.read_csv(sweep / str(fold) / "split.csv", keep_default_na=False)
        table.loc[:9, "split"] = "pool"
        hidden = table["image_id"] == f"i{10 + fold}.png"  # in this run; the other one validates on it
        table.loc[hidden, "split"] = "pool"
        table.loc[table["split"] == "pool", "label"] = ""
        table.to_csv(sweep / str(fold) / "split.csv", index=False)
    runs = runs_of([str(sweep / "0"), str(sweep / "1")])
    pool = open_pool(runs, None, classes=["benign", "malignant"])
    assert pool.rows["image_id"].tolist() == [f"i{i}.png" for i in range(10)]
    assert set(pool.labelled["split"]) == {"train"}


def test_initial_weights_of_a_sweep_are_those_of_the_fold(tmp_path: Path, sweep: Path):
    for fold in (0, 1):
        run = tmp_path / "pre" / str(fold)
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(f"run_id: x\ndata: {{fold: {fold}}}\n")
        (run / "backbone.safetensors").touch()
    assert find_init(str(tmp_path / "pre"), 1) == str(tmp_path / "pre" / "1" / "backbone.safetensors")
    with pytest.raises(UserError, match=r"has none of data.fold=2 among those of the folds 0, 1; pretrain it"):
        find_init(str(tmp_path / "pre"), 2)
    with pytest.raises(
        UserError, match=r"is a sweep of several networks; give the weights of one, such as .*best.ckpt"
    ):
        find_init(str(sweep), 0)
