"""What is packed for a CUDA machine, and what its script computes."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.gpu.compare import largest_difference
from tests.gpu.pack import missing_names, needed_names, pack_ham10000


def test_only_what_the_machine_lacks_is_packed():
    names = set(missing_names())
    assert {
        "hydra-core",
        "omegaconf",
        "antlr4-python3-runtime",
        "albumentations",
        "lightly",
        "pydantic-core",
        "pytest-xdist",
    } <= names
    assert not names & {"torch", "torchvision", "numpy", "timm", "wandb"}
    assert not any(name.startswith(("nvidia", "cuda", "opentelemetry")) for name in names)


def test_what_is_left_out_takes_its_own_needs_along():
    assert needed_names(["wandb"], without=["wandb"]) == set()
    assert {"hydra-core", "omegaconf", "pyyaml"} <= needed_names(["hydra-core"])
    assert "pyyaml" not in needed_names(["omegaconf"], without=["PyYAML"])


def test_the_compact_data_set_has_small_images_and_the_table(phantom, tmp_path):
    count = pack_ham10000(phantom, tmp_path / "small.tar", side=24)
    with tarfile.open(tmp_path / "small.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    images = list((tmp_path / "ham10000").rglob("*.jpg"))
    assert count == len(images) == 160
    assert Image.open(images[0]).size == (24, 24)
    table = pd.read_csv(tmp_path / "ham10000" / "HAM10000_metadata.csv")
    assert set(table["image_id"]) == {path.stem for path in images}


def test_predictions_of_other_images_are_not_compared():
    first = pd.DataFrame({"image_id": ["a", "b"], "prob_x": [0.1, 0.4]})
    assert largest_difference(first, first.assign(prob_x=[0.1, 0.5])) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="different images"):
        largest_difference(first, first[::-1])


@pytest.mark.slow
def test_the_script_runs_its_steps_and_reports_the_one_that_fails(tmp_path):
    """Here nothing is packed, so that the installation fails, while the other steps use what is installed."""
    script = Path(__file__).with_name("run.sh")
    python = Path(sys.executable)
    environment = os.environ | {"PYTHON": str(python), "PACKED": str(tmp_path)}
    ran = subprocess.run([script, "--tiny", tmp_path / "out"], env=environment, capture_output=True, text=True)
    lines = dict(line.split(": ", 1) for line in (tmp_path / "out" / "summary.txt").read_text().splitlines())
    assert ran.returncode == 1
    assert lines.pop("install").startswith("FAILED")
    assert len(lines) == 8
    assert all(line.startswith("ok") for line in lines.values())
    assert (tmp_path / "out" / "predictions.csv").is_file()
