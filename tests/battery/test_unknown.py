"""Foreign images are scored by every detector; without a gate it says so."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.model import Model
from skinlab.battery.unknown import Unknown
from skinlab.errors import UserError
from skinlab.evaluation.shift.yardstick import Yardstick
from skinlab.inference.bundle import load_bundle
from skinlab.inference.gate_fitting import KINDS


@pytest.fixture
def bench(checkpoint: Path, disc_rows: pd.DataFrame) -> Bench:
    model, yardstick = Model(load_bundle(checkpoint)), Yardstick(["mel"], 0.5)
    return Bench(model, yardstick, ImageSet("home", disc_rows[:60].reset_index(drop=True), model, yardstick), None)


def test_logits_are_those_of_the_probabilities(bench: Bench):
    pixels = bench.model.read(bench.home.rows["path"][:9].tolist())
    (logits,) = bench.model.logits(pixels)
    assert np.allclose(softmax(logits, 1), bench.model.predict(pixels))


def test_without_a_run_there_is_no_gate(bench: Bench):
    probe = Unknown(n_images=10)
    assert probe.passes(bench) == 60 + KINDS * 10
    found = probe.run(bench)
    assert found.notes[0].startswith("No input gate: the bundle has none, and there is no run to fit one on")
    (table,) = found.tables
    assert table["columns"][1:] == [
        "AUROC, maximum probability",
        "Let through, maximum probability",
        "AUROC, energy",
        "Let through, energy",
    ]
    assert len(table["rows"]) == len(found.pictures) == KINDS


def test_the_gate_of_the_run_catches_what_the_network_misses(bench: Bench, disc_rows: pd.DataFrame, tmp_path: Path):
    split = np.where(np.arange(120) < 60, "val", "train")
    disc_rows.assign(split=split).to_csv(tmp_path / "split.csv", index=False)
    outside = ImageSet("outside", disc_rows, bench.model, bench.yardstick, no_class=disc_rows[60:65])
    found = Unknown(n_images=20).run(Bench(bench.model, bench.yardstick, bench.home, outside, 0, tmp_path))
    rows = {row["name"]: row["cells"] for row in found.tables[0]["rows"]}
    assert len(rows) == KINDS + 1
    assert rows["noise"][-1]["value"] == 0  # the gate lets none through
    assert rows["images of no known class"][-1]["value"] > 0.5
    assert [flag["sentence"].startswith("Nothing catches ") for flag in found.flags] in ([], [True])
    assert not any("noise" in flag["sentence"] for flag in found.flags)


def test_an_empty_folder_is_refused_before_anything_is_predicted(bench: Bench, tmp_path: Path):
    with pytest.raises(UserError, match=r"probe\.unknown\.folder="):
        Unknown(folder=str(tmp_path)).passes(bench)
