"""What skinlab.ensemble judges is what predict does with the bundle that it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from skinlab.commands import ensemble as combining
from skinlab.commands.predict import predict
from skinlab.data.images import read_image
from skinlab.errors import UserError
from skinlab.evaluation.ensembles.combination import combine, fit_weights
from skinlab.evaluation.thresholds.choice import choose_threshold
from skinlab.evaluation.thresholds.frozen import thresholds_from_list
from skinlab.inference.bundle import load_bundle
from skinlab.models.prediction import predict_probabilities
from skinlab.models.weights import read_checkpoint
from skinlab.tables.predictions import read_predictions
from tests.command_settings import invocation_of, settings_of
from tests.run_directory import write_run

CLASSES = ["bkl", "mel", "nv"]
NAMES = [f"{k:02}.png" for k in range(24)]
FOLDS = {"test_resnet": 2, "test_efficientnet": 3}  # geometric means see who is averaged first

Combined = Callable[..., Path]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, generator = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name in NAMES:
        pixels = cv2.resize(generator.integers(0, 256, (4, 4, 3), np.uint8), (32, 32))
        (folder / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return folder


@pytest.fixture(scope="module")
def sweeps(
    save_classifier: Callable[..., Path], images: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[Path, np.ndarray]:
    """Two sweeps of two and three folds, with what the mean of each one's networks says of the images."""
    base, found = tmp_path_factory.mktemp("sweeps"), {}
    for name, n_folds in FOLDS.items():
        places = [base / name / f"fold{fold}" for fold in range(n_folds)]
        for fold, place in enumerate(places):
            checkpoint = save_classifier(place / "checkpoints" / "best.ckpt", CLASSES, name, 10 * n_folds + fold)
            make_bold(checkpoint)
        found[base / name] = np.mean([probabilities(place, images) for place in places], axis=0)
    scores = [p[:, 1] for p in found.values()]
    label = np.where(np.all([s > np.median(s) for s in scores], axis=0), "mel", np.array(["bkl", "nv"] * 12))
    for sweep, p in found.items():
        n_folds = FOLDS[sweep.name]
        rows = pd.DataFrame({"image_id": NAMES, "label": label, "fold": np.arange(len(NAMES)) % n_folds})
        table = rows.join(pd.DataFrame(p.round(6), columns=[f"prob_{name}" for name in CLASSES]))
        for fold in range(n_folds):
            place = sweep / f"fold{fold}"
            split = rows.assign(split=np.where(rows["fold"] == fold, "val", "train"), path="gone.jpg", group=NAMES)
            config = {"seed": 0, "model": {"name": sweep.name}, "data": {"name": "x", "fold": fold, "n_folds": n_folds}}
            write_run(place, config=config, metrics={}, split=split, val=table[rows["fold"] == fold])
    return found


def make_bold(checkpoint: Path) -> None:
    """Scale the classification layer, for untrained networks say nearly the same of every image."""
    content = read_checkpoint(checkpoint)
    (layer,) = (value for value in content["state_dict"].values() if value.ndim == 2)
    layer *= 1000
    torch.save(content, checkpoint)


def probabilities(place: Path, images: Path) -> np.ndarray:
    pixels = np.stack([read_image(images / name, 32) for name in NAMES])
    batch = {"image": torch.as_tensor(pixels).permute(0, 3, 1, 2).contiguous()}
    return predict_probabilities(load_bundle(place).classifier, [batch])


@pytest.fixture
def combined(sweeps: dict[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Combined:
    monkeypatch.setattr("skinlab.report.page.render_report", lambda *_: "")  # seconds of drawing

    def run(*words: str) -> Path:
        quick = ["n_draws=100", "calibration=false", "search=null", "saliency=false", "positive=[mel]"]
        places = [f"runs=[{','.join(map(str, sweeps))}]", f"output={tmp_path / 'out'}"]
        settings = settings_of("ensemble", *places, *quick, *words)
        combining.ensemble(settings, invocation_of("ensemble", *places, *quick, *words))
        return tmp_path / "out"

    return run


def predicted(ckpt: Path, images: Path, output: Path, **settings: Any) -> pd.DataFrame:
    places = {"ckpt": ckpt, "input": images, "output": output, "num_workers": 0}
    predict(settings_of("predict", **places | settings))
    return pd.read_csv(output)


def judged(sweeps: dict[Path, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the out-of-fold probabilities of both sweeps as they stand in their files, and the classes."""
    tables = [pd.concat(pd.read_csv(f) for f in sweep.glob("*/predictions/val.csv")) for sweep in sweeps]
    tables = [table.sort_values("image_id") for table in tables]
    p = np.stack([table[[f"prob_{name}" for name in CLASSES]].to_numpy() for table in tables])
    target = tables[0]["label"].map({name: i for i, name in enumerate(CLASSES)}).to_numpy()
    return p, target


@pytest.mark.parametrize("method", ["mean", "geometric", "rank", "weighted", "overlap"])
def test_the_bundle_predicts_what_the_members_predictions_combine_to(
    combined: Combined, sweeps: dict[Path, np.ndarray], images: Path, tmp_path: Path, method: str
):
    out = combined(f"method={method}", "bundle=true")
    got = predicted(out, images, tmp_path / "p.csv").filter(like="prob_").to_numpy()
    members, (p, target) = np.stack(list(sweeps.values())), judged(sweeps)
    if method == "overlap":
        cuts = [choose_threshold(each[:, 1], target == 1, "f1") for each in p]
        called = np.all([each[:, 1] >= cut for each, cut in zip(members, cuts, strict=True)], axis=0)
        assert 0 < called.sum() < len(NAMES)
        expected = np.stack([~called, called], axis=1).astype(float)
    else:
        learned = {"rank": {"reference": p}, "weighted": {"weights": fit_weights(p, target)}}
        expected = combine(members, method, **learned.get(method, {}))
    np.testing.assert_allclose(got, expected, atol=1e-8, rtol=0)
    bundle, rules = load_bundle(out), (out / "thresholds.json").is_file()
    assert rules == (method != "overlap")
    name = f"{method} of 2"
    written = json.loads((out / "thresholds.json").read_text())[name] if rules else []
    assert bundle.thresholds == thresholds_from_list(written)
    learns = {"rank": "reference", "weighted": "weights", "overlap": "thresholds"}.get(method)
    assert [fit.what for fit in bundle.probability_fits] == ([f"the ensemble's {learns}"] if learns else [])
    if method in ("mean", "geometric"):
        table = pd.read_csv(out / "predictions" / "oof.csv").sort_values("image_id")
        np.testing.assert_allclose(got, table.filter(like="prob_"), atol=2e-6)


def test_an_overlap_makes_a_kaggle_file_and_tells_its_thresholds(combined: Combined, images: Path, tmp_path: Path):
    out = combined("method=overlap")
    table = predicted(out, images, tmp_path / "p.csv")
    assert table.columns.tolist() == ["image_id", "prob_other", "prob_positive", "path"]
    file = predicted(out, images, tmp_path / "k.csv", format="kaggle")
    assert file["label"].tolist() == table["prob_positive"].tolist()
    meta = json.loads((tmp_path / "k.meta.json").read_text())
    assert (meta["classes"], meta["positive"], meta["method"]) == (["other", "positive"], ["mel"], "overlap")
    assert meta["teams"] == [[0, 1], [2, 3, 4]]
    noted = json.loads((out / "predictions" / "meta.json").read_text())
    assert meta["learned"]["thresholds"] == pytest.approx(noted["thresholds"], abs=1e-6)
    assert read_predictions(out / "predictions" / "oof.csv").classes == meta["classes"]


def test_two_classes_stay_under_their_own_names(combined: Combined, sweeps: dict[Path, np.ndarray]):
    rows = {}
    for sweep in sweeps:
        for file in sweep.glob("*/predictions/val.csv"):
            rows[file] = file.read_text()
            table = pd.read_csv(file)
            table["prob_nv"] += table.pop("prob_bkl")
            table = table[[*table.columns[:-2], "prob_nv", "prob_mel"]].replace({"label": {"bkl": "nv"}})
            table.to_csv(file, index=False)
    try:
        for words in (["positive=[mel]"], ["positive=null"], ["positive=[nv]"]):
            out = combined("method=overlap", "bundle=false", "overwrite=true", *words)
            named = ["nv", "mel"] if words != ["positive=[nv]"] else ["mel", "nv"]
            assert json.loads((out / "predictions" / "meta.json").read_text())["classes"] == named
    finally:
        for file, text in rows.items():
            file.write_text(text)


def test_nothing_is_written_where_something_fails(
    combined: Combined, sweeps: dict[Path, np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch
):
    with pytest.raises(UserError, match="saliency=true"):
        combined("saliency=true")
    run = next(iter(sweeps)) / "fold0"
    with monkeypatch.context() as patch:
        patch.setattr(combining, "build_ensemble", lambda *_, **__: pytest.fail("combined"))
        with pytest.raises(UserError, match="bundle=true: val is a table, without a run"):
            combined("bundle=true", f"runs=[{run / 'predictions' / 'val.csv'},{run}]")
    with pytest.raises(UserError, match="bundle=maybe: true or false or auto is expected"):
        combined("bundle=maybe")
    lost = next(iter(sweeps)) / "fold1" / "checkpoints" / "best.ckpt"
    lost.rename(lost.with_suffix(".away"))
    try:
        with pytest.raises(UserError, match=r"bundle=true: .*fold1: the directory has no checkpoints/best\.ckpt"):
            combined("bundle=true")
        assert not (tmp_path / "out").exists()
        assert sorted(path.name for path in combined().iterdir()) == [
            "evidence.json",
            "model_card.md",
            "predictions",
            "report.html",
            "thresholds.json",
        ]
        assert "no model.bundle: " in caplog.text
    finally:
        lost.with_suffix(".away").rename(lost)
