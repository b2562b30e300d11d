"""Predictions of runs and sweeps: the mean of their models, their thresholds, and pictures of where they looked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinlab.commands.evaluate import evaluate
from skinlab.commands.predict import predict
from skinlab.errors import UserError
from skinlab.evaluation.thresholds.choice import choose_threshold
from skinlab.inference.bundle import load_bundle, save_bundle
from skinlab.inference.ensembling import ensemble
from tests.command_settings import invocation_of, settings_of
from tests.image_folder import NAMES, write_images
from tests.sweep import FOCAL, write_member

Predict = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Images that the runs were trained on and validated by; only their names are read here."""
    folder = tmp_path_factory.mktemp("own")
    return [str(folder / f"i{i}.jpg") for i in range(48)]


@pytest.fixture
def sweep(save_classifier: Callable[..., Path], paths: list[str], tmp_path: Path) -> Path:
    for i, (fold, seed) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        write_member(tmp_path / "sweep" / str(i), save_classifier, paths, fold=fold, seed=seed)
    return tmp_path / "sweep"


@pytest.fixture
def predicted(images: Path, tmp_path: Path) -> Predict:
    def run(ckpt: Path | list[str], name: str = "p", **settings: Any) -> pd.DataFrame:
        places = {
            "ckpt": str(ckpt) if isinstance(ckpt, Path) else ckpt,
            "input": images,
            "output": tmp_path / f"{name}.csv",
            "num_workers": 0,
        }
        predict(settings_of("predict", **places | settings))
        return pd.read_csv(tmp_path / f"{name}.csv", dtype={"image_id": str})

    return run


def meta(folder: Path, name: str = "p") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / f"{name}.meta.json").read_text())
    return content


def test_a_sweep_predicts_the_mean_of_its_models(predicted: Predict, sweep: Path, tmp_path: Path):
    whole = predicted(sweep).filter(like="prob_")
    each = [predicted(sweep / str(i), f"p{i}").filter(like="prob_") for i in range(4)]
    np.testing.assert_allclose(whole, np.mean(each, axis=0), atol=2e-6)
    assert meta(tmp_path)["models"] == [str(sweep / str(i)) for i in range(4)]
    assert len({meta(tmp_path, name)["checkpoint_sha256"] for name in ("p", "p0", "p1")}) == 3


def test_several_recipes_and_unfinished_runs_are_refused_by_name(
    predicted: Predict, sweep: Path, save_classifier, paths
):
    write_member(sweep / "4", save_classifier, paths, loss=FOCAL)
    words = rf"2 recipes: loss=ce \(4\), loss=focal \(1\); .*loss=ce: ckpt={sweep}/0,{sweep}/1,{sweep}/2,{sweep}/3"
    with pytest.raises(UserError, match=words):
        predicted(sweep)
    (sweep / "4" / "metrics.json").unlink()
    with pytest.raises(
        UserError, match=rf"{sweep}/4: this run was not finished; .*hydra.run.dir={sweep}/4.*ckpt={sweep}/0"
    ):
        predicted(sweep)
    assert len(predicted([f"{sweep}/{i}" for i in range(4)])) == len(NAMES)


def test_a_rule_on_a_run_is_that_of_its_thresholds(
    predicted: Predict, save_classifier, paths, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run = write_member(tmp_path / "run", save_classifier, paths)
    p = predicted(run)["prob_malignant"].to_numpy()
    write_member(tmp_path / "run", save_classifier, paths, threshold={"threshold": float(np.median(p))})
    caplog.set_level("INFO")
    table = predicted(run, "t", threshold="f1")
    called = p >= np.median(p)
    assert table["called"].tolist() == called.astype(int).tolist()
    assert table["called_class"].tolist() == np.where(called, "malignant", "benign").tolist()
    assert f"{called.sum()} of {len(NAMES)} images are called malignant" in caplog.text
    assert f"threshold f1 = {np.median(p):.4f} (0.4000 to 0.6000), chosen on val, 9 images" in caplog.text
    assert meta(tmp_path, "t")["threshold"]["called"] == called.sum()
    assert predicted(run / "checkpoints" / "best.ckpt", "c", threshold="f1").equals(table)
    with pytest.raises(UserError, match=r"has no such rule; choose f1.*'thresholds=\[cost\]'"):
        predicted(run, "u", threshold="cost")


def test_thresholds_of_other_weights_are_refused(predicted: Predict, save_classifier, paths, tmp_path: Path):
    run = write_member(tmp_path / "run", save_classifier, paths)
    facts = {"classes": ["benign", "malignant"], "checkpoint_sha256": "0"}
    (run / "predictions" / "meta.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"thresholds\.json belongs to other weights"):
        predicted(run, threshold="f1")


def test_a_rule_on_a_sweep_is_chosen_on_the_mean_of_its_seeds_out_of_fold(
    predicted: Predict, sweep: Path, tmp_path: Path
):
    predicted(sweep, threshold="f1")
    tables = [pd.read_csv(sweep / str(i) / "predictions" / "val.csv") for i in range(4)]
    seeds = [pd.concat(tables[i : i + 2]).set_index("image_id") for i in (0, 2)]
    score = (seeds[0]["prob_malignant"] + seeds[1]["prob_malignant"]) / 2
    expected = choose_threshold(score.to_numpy(), (seeds[0]["label"] == "malignant").to_numpy(), "f1")
    found = meta(tmp_path)["threshold"]
    assert found["value"] == pytest.approx(expected)
    assert found["chosen_on"] == "out of fold, 48 images"


def test_pictures_of_a_sweep_have_a_legend_and_a_name_each(
    predicted: Predict, sweep: Path, images: Path, tmp_path: Path
):
    predicted(sweep, explain=tmp_path / "cam")
    expected = {name if name.endswith(".jpg") else f"{name}.jpg" for name in NAMES}
    found = {str(path.relative_to(tmp_path / "cam")) for path in (tmp_path / "cam").rglob("*.jpg")}
    assert found == expected
    first = np.asarray(Image.open(tmp_path / "cam" / sorted(found)[0])).astype(int)
    assert first.shape[1] == 640
    assert (np.abs(first[:320, :320] - first[:320, 320:]) > 20).any(), "the map colours the second image"
    assert first[320:].min() < 60, "the legend has text"
    again = tmp_path / "again"
    predicted(sweep, "q", explain=again)
    for name in found:
        assert (again / name).read_bytes() == (tmp_path / "cam" / name).read_bytes()
    with pytest.raises(UserError, match=r"explain=.*cam is not empty"):
        predicted(sweep, "r", explain=tmp_path / "cam")


def test_an_overlap_is_refused_before_anything_is_predicted(predicted: Predict, sweep: Path, tmp_path: Path):
    votes = {"thresholds": np.array([0.5, 0.5])}
    models = ensemble([load_bundle(sweep / str(i)) for i in range(2)], ["a", "b"])
    save_bundle(replace(models, method="overlap", learned=votes, positive=["malignant"]), tmp_path / "o.bundle")
    with pytest.raises(UserError, match="an overlap counts votes and has no class to explain; give one of its runs"):
        predicted(tmp_path / "o.bundle", explain=tmp_path / "cam")
    assert not (tmp_path / "p.csv").exists()
    assert not (tmp_path / "cam").exists()


def test_a_report_of_outside_images_shows_where_the_models_looked(
    predicted: Predict, sweep: Path, images: Path, tmp_path: Path
):
    table = predicted(sweep)
    worst = table["prob_malignant"] > table["prob_malignant"].median()
    table.assign(label=np.where(worst, "benign", "malignant")).to_csv(tmp_path / "p.csv", index=False)
    quick = {"n_draws": 100, "calibration": False, "compare_by": [], "thresholds": [], "saliency": True}
    settings = settings_of("evaluate", predictions=tmp_path / "p.csv", output=tmp_path / "e", **quick)
    evaluate(settings, invocation_of("evaluate"))
    evidence = json.loads((tmp_path / "e" / "evidence.json").read_text())
    mistakes = evidence["systems"][0]["worst_mistakes"]
    assert mistakes
    assert (tmp_path / "e" / "report.html").read_text().count("Grad-CAM of") == len(mistakes)
