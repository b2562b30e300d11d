"""From runs to one file, and what is refused before anything is written."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.errors import UserError
from skinlab.evaluation.calibration import Temperature, fit_calibrator
from skinlab.models.bundle import load_bundle
from skinlab.runtime.bundling import make_bundle
from skinlab.runtime.config import config_directory

CLASSES = ["bkl", "mel", "nv"]
FROZEN = {
    "rule": "f1",
    "threshold": 0.3,
    "low": 0.2,
    "high": 0.4,
    "positives": 9,
    "chosen_on": "val, 40 rows",
    "rows_sha256": "0",
    "cost_ratio": 1.0,
}


@pytest.fixture(scope="module")
def runs(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two runs with checkpoints and validation predictions of the same rows, without split.csv."""
    base = tmp_path_factory.mktemp("runs")
    target = np.arange(40) % 3
    for i, name in enumerate(("test_resnet", "test_efficientnet")):
        run = base / name
        (run / "checkpoints").mkdir(parents=True)
        (run / "predictions").mkdir()
        save_classifier(run / "checkpoints" / "best.ckpt", CLASSES, name, i)
        p = np.random.default_rng(i).dirichlet(np.ones(3), 40) + 0.3 * np.eye(3)[target]
        table = pd.DataFrame(p / p.sum(1, keepdims=True), columns=[f"prob_{c}" for c in CLASSES])
        table.insert(0, "label", np.array(CLASSES)[target])
        table.insert(0, "image_id", [f"i{k}" for k in range(40)])
        table.to_csv(run / "predictions" / "val.csv", index=False)
    return [str(base / "test_resnet"), str(base / "test_efficientnet")]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "m.bundle"


@pytest.fixture
def make(runs: list[str], output: Path) -> Callable[..., None]:
    def run(**settings: Any) -> None:
        config: Any = OmegaConf.to_container(OmegaConf.load(config_directory() / "bundle.yaml"))
        make_bundle(config | {"ckpt": runs[0], "output": str(output), "num_workers": 0} | settings)

    return run


def test_without_training_images_there_is_no_gate_and_that_is_told(
    make, output: Path, caplog: pytest.LogCaptureFixture
):
    make()
    assert "no input gate" in caplog.text
    bundle = load_bundle(output)
    assert (bundle.classes, bundle.gate, bundle.calibrator) == (CLASSES, None, None)
    with pytest.raises(UserError, match=r"is no run with a split\.csv"):
        make(gate="fit", overwrite=True)


def test_a_gate_is_fitted_on_a_split_and_kept(make, output: Path, phantom: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("skinlab.models.gate.LEAST_IMAGES", 20)
    table = read_ham10000(phantom)[["path", "group"]].assign(split="train")
    table.to_csv(output.parent / "s.csv", index=False)
    make(gate_split=str(output.parent / "s.csv"))
    first = load_bundle(output).gate
    assert first is not None
    assert "false_alarms" not in first.measured  # nothing was held out
    make(ckpt=str(output), output=str(output.parent / "again.bundle"))
    again = load_bundle(output.parent / "again.bundle").gate
    assert again is not None
    assert again.to_dict() == first.to_dict()
    make(ckpt=str(output), output=str(output.parent / "none.bundle"), gate="none")
    assert load_bundle(output.parent / "none.bundle").gate is None


def test_the_calibrator_is_fitted_on_the_combined_validation_rows(make, runs: list[str], output: Path):
    make(ckpt=runs, combine="weighted", weights=[3, 1], calibrator="temperature")
    tables = [pd.read_csv(Path(run) / "predictions" / "val.csv") for run in runs]
    one, two = (table[[f"prob_{c}" for c in CLASSES]].to_numpy() for table in tables)
    expected = fit_calibrator("temperature", 0.75 * one + 0.25 * two, np.arange(40) % 3).to_dict()
    assert load_bundle(output).calibrator == pytest.approx(expected)


def test_a_calibrator_comes_from_a_file(make, output: Path):
    file = output.parent / "c.json"
    file.write_text(json.dumps(Temperature(2.0).to_dict()))
    make(calibrator=str(file))
    assert load_bundle(output).calibrator == Temperature(2.0).to_dict()
    with pytest.raises(UserError, match="has a calibrator already"):
        make(ckpt=str(output), output=str(output.parent / "x.bundle"), calibrator="temperature")


def test_thresholds_carry_the_classes_they_are_for(make, output: Path, caplog: pytest.LogCaptureFixture):
    file = output.parent / "thresholds.json"
    file.write_text(json.dumps({"run": [FROZEN]}))
    make(thresholds=str(file), positive=["mel"])
    assert load_bundle(output).thresholds == [FROZEN | {"positive": ["mel"]}]
    with caplog.at_level(logging.WARNING):
        make(ckpt=str(output), output=str(output.parent / "m.safetensors"), format="safetensors")
    assert "does not apply the model's thresholds" in caplog.text


@pytest.mark.parametrize(
    ("content", "settings", "words"),
    [
        ({"run": [FROZEN]}, {}, "name the positive ones of the classes bkl, mel, nv"),
        ({"run": [FROZEN]}, {"positive": ["melanoma"]}, "name the positive ones"),
        ({"a": [FROZEN], "b": [FROZEN]}, {"positive": ["mel"]}, "holds thresholds of 2 systems"),
        ({"run": [{"rule": "f1"}]}, {"positive": ["mel"]}, "a frozen threshold lacks threshold"),
        ([1], {"positive": ["mel"]}, "is no thresholds.json of an evaluation"),
    ],
)
def test_thresholds_that_mean_nothing_are_refused(make, output: Path, content: Any, settings: dict, words: str):
    file = output.parent / "t.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=words) as told:
        make(thresholds=str(file), **settings)
    assert "\n" not in str(told.value)
    assert not output.exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ckpt": None}, "ckpt= is missing"),
        ({"ckpt": []}, "ckpt= is missing"),
        ({"ckpt": "/no/where"}, "no such file or directory"),
        ({"output": None}, r"say output=FILE\.bundle"),
        ({"output": "/no/where/m.bundle"}, "there is no folder /no/where"),
        ({"output": "m.onnx"}, "is written to a file FILE.bundle, or say format=onnx"),
        ({"format": "onx"}, "did you mean onnx"),
        ({"combine": "median"}, "choose mean, geometric, weighted"),
        ({"weights": [1]}, "takes no weights"),
        ({"weights": ["x"], "combine": "weighted"}, "numbers are expected"),
        ({"weights": 0.5}, "a list is expected"),
        ({"positive": "mel"}, "a list is expected"),
        ({"calibrator": "temprature"}, "calibrator=temprature: can't be read .No such file"),
        ({"thresholds": "/no/where"}, "thresholds=/no/where: can't be read"),
        ({"gate": "yes"}, "gate=yes: choose auto, fit, none"),
        ({"gate_alarms": 0.0}, "a share between 0 and 1"),
        ({"gate_images": 0}, "must be at least 1"),
        ({"num_workers": -1}, "give auto or a number"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(make, output: Path, settings: dict, words: str):
    with pytest.raises(UserError, match=words) as told:
        make(**settings)
    assert "\n" not in str(told.value)
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize("content", ["{}", "[1]", '{"method": "isotonic", "knots": 3, "values": 1, "prior": 2}', "x"])
def test_what_is_no_calibrator_is_refused(make, output: Path, content: str):
    (output.parent / "c.json").write_text(content)
    with pytest.raises(UserError, match="calibrator"):
        make(calibrator=str(output.parent / "c.json"))
    assert not output.exists()


def test_what_exists_stays(make, output: Path):
    output.write_text("precious")
    with pytest.raises(UserError, match="say overwrite=true"):
        make()
    assert output.read_text() == "precious"


def test_the_command_tells_a_mistake_in_one_line(run):
    done = run("bundle", "ckpt=none.ckpt", "output=m.bundle")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ckpt=none.ckpt: no such file")
    assert done.stderr.count("\n") == 1
