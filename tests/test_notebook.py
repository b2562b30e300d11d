"""The notebooks are sound, stripped of outputs, and run from the first cell to the last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from skinlab.runtime.config import config_directory

NOTEBOOKS = sorted((config_directory().parent / "notebooks").glob("*.ipynb"))
STORY = "02_cnn_augmentation_ensemble.ipynb"
TINY = """
N_POSITIVE, N_NEGATIVE, PHANTOM_SIZE, IMAGE_SIZE = 45, 75, 32, 32
NETWORKS, EPOCHS, N_DRAWS = ["test_resnet", "test_convnext"], 1, 100
"""


def script(path: Path, settings: str = "") -> str:
    """Return a notebook's code, with settings of our own after the cell of parameters."""
    notebook = nbformat.read(path, as_version=4)
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            parts.append(cell.source)
            parts += [settings] * ("parameters" in cell.metadata.get("tags", []))
    return "\n\n".join(parts) + "\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_sound_and_stripped(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)
    for cell in code:
        compile(cell.source, f"{path.name}:{cell.id}", "exec")


def test_settings_of_the_test_are_the_notebook_s():
    path = next(path for path in NOTEBOOKS if path.name == STORY)
    given, own = script(path, TINY), script(path)
    assert given.count(TINY) == 1
    for name in ("N_POSITIVE", "N_NEGATIVE", "PHANTOM_SIZE", "IMAGE_SIZE", "NETWORKS", "EPOCHS", "N_DRAWS"):
        assert own.count(name) >= 2  # set once, used at least once


@pytest.mark.slow
def test_story_of_two_cnns_runs(tmp_path: Path):
    path = next(path for path in NOTEBOOKS if path.name == STORY)
    (tmp_path / "story.py").write_text(script(path, TINY), encoding="utf-8")
    environment = {"SKINLAB_NOTEBOOK_DIR": str(tmp_path / "out put"), "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "story.py"],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    out = tmp_path / "out put"
    for name in ("look.png", "augmentation.png", "leaderboard.png", "flattery.png"):
        assert (out / name).stat().st_size > 5000
    found = {folder: json.loads((out / folder / "evidence.json").read_text()) for folder in ("mean", "tta", "overlap")}
    members = ["test_resnet", "test_convnext"]
    assert [system["name"] for system in found["mean"]["systems"]] == [*members, "mean of 2"]
    assert [system["name"] for system in found["overlap"]["systems"]] == [*members, "overlap of 2"]
    rows = {system["rows"] for each in found.values() for system in each["systems"]}
    assert rows == {48}  # two fifths of 120: every system on the same test
    figures = {system["name"]: system["figures"] for system in found["overlap"]["systems"]}
    least = min(figures[name]["sensitivity"]["value"] for name in members)
    assert figures["overlap of 2"]["sensitivity"]["value"] <= least  # both must say so
