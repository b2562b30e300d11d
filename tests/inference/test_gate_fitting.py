"""The gate of a run: fitted on its split, measured on what it has not seen."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch

from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.errors import UserError
from skinlab.inference.gate import SIZE, STATISTICS, Gate, image_statistics
from skinlab.inference.gate_fitting import fit_run_gate, gate_network, rate, read_gate_split, read_small
from skinlab.inference.gate_monitor import InputGateMonitor
from skinlab.inference.gate_network import WIDTH, GateNetwork
from skinlab.models.weights import WeightsUnavailable
from skinlab.processes.progress import Progress


@pytest.fixture(scope="module")
def split(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with its split.csv."""
    table = read_ham10000(phantom)[["path", "group"]]
    number = table["group"].astype("category").cat.codes.to_numpy()
    table["split"] = np.where(number % 5 == 0, "val", "train")
    place = tmp_path_factory.mktemp("run") / "split.csv"
    table.to_csv(place, index=False)
    return place


def fit(split: Path, **settings: int) -> Gate:
    return fit_run_gate(
        read_gate_split(str(split), []), **{"alarms": 0.05, "limit": 1000, "num_workers": 0, "seed": 0} | settings
    )[0]


def test_a_run_s_own_images_pass_and_foreign_ones_do_not(split: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("skinlab.inference.gate.MIN_IMAGES", 20)
    gate = fit(split)
    table = pd.read_csv(split)
    measured = gate.measured
    assert measured["fitted_on"] + measured["threshold_on"] == (table["split"] == "train").sum()
    assert measured["false_alarms"]["images"] == (table["split"] == "val").sum()
    assert measured["false_alarms"]["share"] < 0.4
    for kind in ("noise", "text", "gradient"):
        assert measured["detected"][kind]["share"] == 1
    val = read_small(table.loc[table["split"] == "val", "path"], 1)
    flagged = gate.distance_ratio(np.array([image_statistics(image) for image in val])) > 1
    assert rate(flagged) == measured["false_alarms"]
    again = fit(split, num_workers=2)
    assert again.to_dict() == gate.to_dict()


def test_the_progress_ends_where_its_total_is(split: Path, monkeypatch: pytest.MonkeyPatch):
    steps = []

    class Kept(Progress):
        def __exit__(self, *error):
            steps.append(self)
            super().__exit__(*error)

    monkeypatch.setattr("skinlab.inference.gate.MIN_IMAGES", 20)
    monkeypatch.setattr("skinlab.inference.gate_fitting.Progress", Kept)
    fit(split)
    assert [each.done for each in steps] == [each.total for each in steps]
    assert steps[0].total > 100


def test_too_few_or_missing_images_are_refused(split: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"split\.csv: an input gate needs 40 images .*; set gate=none"):
        fit(split, limit=30)
    table = pd.read_csv(split)
    table.loc[:1, "path"] = ["/gone/a.jpg", "/gone/b.jpg"]
    table.to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(UserError, match=r"2 images of .* missing: /gone/.\.jpg, /gone/.\.jpg"):
        fit(tmp_path / "split.csv")


def test_too_few_images_are_named_once_and_before_they_are_read(
    split: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level("INFO")
    monkeypatch.setattr("skinlab.inference.gate_fitting.read_small", None)
    with pytest.raises(UserError, match="needs 40 images to be fitted on and as many for its threshold, got "):
        fit(split, limit=100)
    assert "statistics alone" not in caplog.text


def test_a_checkpoint_belongs_to_the_run_around_it(split: Path, tmp_path: Path):
    shutil.copy(split, tmp_path / "split.csv")
    for place in (tmp_path, tmp_path / "checkpoints" / "best.ckpt"):
        assert read_gate_split(None, [str(place)]).place == tmp_path / "split.csv"
    assert read_gate_split(str(split), [str(tmp_path)]).place == split
    with pytest.raises(UserError, match=r"is no run with a split\.csv"):
        read_gate_split(None, [str(tmp_path / "x" / "y" / "z.ckpt")])


def test_no_images_are_no_error():
    assert read_small([], 1).shape == (0, SIZE, SIZE, 3)


@pytest.fixture
def gate() -> Gate:
    """A gate whose distance ratio is the first statistic itself."""
    return Gate(np.zeros(2), np.ones(2), np.diag([1.0, 0.0]), 1.0, 0.99)


def test_the_monitor_warns_once_and_names_the_foreign_images(gate: Gate, caplog: pytest.LogCaptureFixture):
    monitor = InputGateMonitor(gate, ["a.jpg", "b.jpg", "c.jpg"], "warn")
    assert monitor.add(np.array([0, 1]), np.array([[0.5, 9], [2.0, 9]]))
    assert monitor.add(np.array([2]), np.array([[3.0, 0]]))
    monitor.report()
    assert "2 of 3 images differ from the dermoscopic images" in caplog.text
    assert "b.jpg, c.jpg" in caplog.text
    assert monitor.distance_ratios().tolist() == [0.5, 2.0, 3.0]


def test_a_strict_monitor_passes_nothing_to_the_network_after_a_foreign_image(gate: Gate):
    monitor = InputGateMonitor(gate, ["a.jpg", "b.jpg", "c.jpg"], "error")
    assert monitor.add(np.array([0]), np.array([[1.0, 0]]))  # the threshold itself still passes
    assert not monitor.add(np.array([1]), np.array([[np.nan, 0]]))
    assert not monitor.add(np.array([2]), np.array([[0.0, 0]]))
    with pytest.raises(UserError, match=r"1 of 3 images .*: b\.jpg; remove them, or .* gate=warn"):
        monitor.report()


def test_a_monitor_without_foreign_images_is_silent(gate: Gate, caplog: pytest.LogCaptureFixture):
    monitor = InputGateMonitor(gate, ["a.jpg"], "error")
    assert monitor.add(np.array([0]), np.array([[0.1, 0]]))
    monitor.report()
    assert not caplog.text


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> GateNetwork:
    """Random weights in place of ImageNet's, and no count of images too small for them."""
    torch.manual_seed(0)
    state = timm.create_model("tf_efficientnet_lite0").state_dict()
    monkeypatch.setattr("skinlab.inference.gate_network.imagenet_state", lambda name: state)
    monkeypatch.setattr("skinlab.inference.gate_fitting.MIN_IMAGES_FOR_NETWORK", 20)
    monkeypatch.setattr("skinlab.inference.gate.MIN_IMAGES", 20)
    return GateNetwork(state)


def test_with_enough_images_the_gate_uses_features_of_a_network(split: Path, network: GateNetwork):
    gate = fit(split)
    assert gate.measured["network"] is True
    assert gate.mean.shape == (len(STATISTICS) + WIDTH,)
    for kind in ("noise", "text", "gradient"):
        assert gate.measured["detected"][kind]["share"] == 1
    paths = pd.read_csv(split).query("split == 'val'")["path"].tolist()
    monitor = InputGateMonitor(gate, paths, "warn")
    whole = np.array([gate.statistics(image) for image in read_small(paths[2:5], 1)])
    assert monitor.add(np.array([2, 3, 4]), whole)
    assert monitor.add(np.array([], int), whole[:0])
    np.testing.assert_array_equal(monitor.distance_ratios(), gate.distance_ratio(whole))


def test_without_images_or_weights_enough_it_does_without(
    network: GateNetwork, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    assert gate_network(19) is None
    assert gate_network(20) is not None

    def unavailable(name: str) -> None:
        raise WeightsUnavailable("the package is missing")

    monkeypatch.setattr("skinlab.inference.gate_network.imagenet_state", unavailable)
    assert gate_network(20) is None
    assert "simple statistics alone, which miss most faces and clinical photographs: the package" in caplog.text
