"""The notebooks are sound, stripped of outputs, and run from the first cell to the last."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from skinlab.cli.conf import config_directory

NOTEBOOKS = sorted((config_directory().parent / "notebooks").glob("*.ipynb"))
POOL, ENSEMBLE = "01_representation_learning.ipynb", "02_cnn_augmentation_ensemble.ipynb"
STUDY = "03_does_the_pool_help.ipynb"
TINY = {
    POOL: """
N_POSITIVE, N_NEGATIVE, N_POOL, PHANTOM_SIZE, IMAGE_SIZE = 45, 75, 60, 32, 32
NETWORK, PRETRAIN_EPOCHS, EPOCHS, BUDGET, FINETUNE = "test_resnet", 2, 2, 0.5, ["lp_ft"]
N_REVIEWED, N_DRAWS = 10, 100
""",
    STUDY: """
N_POSITIVE, N_NEGATIVE, N_POOL, PHANTOM_SIZE, IMAGE_SIZE = 45, 75, 60, 32, 32
NETWORK, BUDGETS, SEEDS, PRETRAIN_EPOCHS, EPOCHS, N_DRAWS = "test_resnet", [0.5], [0], 1, 1, 100
""",
    ENSEMBLE: """
N_POSITIVE, N_NEGATIVE, PHANTOM_SIZE, IMAGE_SIZE = 45, 75, 32, 32
NETWORKS, EPOCHS, N_DRAWS = ["test_resnet", "test_convnext"], 1, 100
""",
}


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


def settings(code: str) -> set[str]:
    """Return the names that a piece of code sets."""
    return {
        each.id for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }


def run_story(name: str, folder: Path) -> Path:
    """Run a notebook's code with tiny settings; returns the folder that it has written."""
    path = next(path for path in NOTEBOOKS if path.name == name)
    out = folder / "out put"
    environment = {"SKINLAB_NOTEBOOK_DIR": str(out), "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script(path, TINY[name])],  # as in a notebook, there is no file for workers to import
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", TINY)
def test_settings_of_the_test_are_the_notebook_s(name):
    path = next(path for path in NOTEBOOKS if path.name == name)
    given, own = script(path, TINY[name]), script(path)
    assert given.count(TINY[name]) == 1
    for setting in settings(TINY[name]):
        assert len(re.findall(rf"\b{setting}\b", own)) >= 2  # set once, used at least once


@pytest.mark.slow
def test_story_of_the_pool_runs(tmp_path: Path):
    out = run_story(POOL, tmp_path)
    for name in ("classes", "views", "curves", "embedding", "recipes", "mining"):
        assert (out / f"{name}.png").stat().st_size > 5000
    seen = set(read(out / "pretrained" / "backbone.json")["groups"])
    split = pd.read_csv(out / "pretrained" / "split.csv", dtype=str, keep_default_na=False)
    assert seen == set(split["group"][split["split"].isin(["train", "pool"])])
    assert len(seen) == 108  # 48 of 120 labelled ones are the test, 24 validate; 60 in the pool
    few = {name: read(out / "few" / name / "metrics.json")["init_used"] for name in ("random", "fixmatch", "lp_ft")}
    assert few["lp_ft"].startswith(str(out / "pretrained" / "backbone.safetensors"))
    assert few["random"] == few["fixmatch"] == "random"
    recipes = [system["name"] for system in read(out / "recipes" / "evidence.json")["systems"]]
    assert recipes == ["random", "lp_ft", "fixmatch"]
    mined = read(out / "mined" / "mine.json")
    assert mined["yield"]["known"] == 84  # the pool, and half of 48 labels hidden
    assert mined["yield"]["at"]["mixed"][-1]["labelled"] == 10


@pytest.mark.slow
def test_story_of_the_study_runs(tmp_path: Path):
    out = run_story(STUDY, tmp_path)
    assert (out / "efficiency.png").stat().st_size > 5000
    study = read(out / "study" / "study.json")
    assert study["finished"]
    assert [arm["name"] for arm in study["budgets"][0]["arms"]] == ["A", "A+", "C", "D"]
    assert [each["verdict"] for each in study["verdicts"]] == ["no verdict"], "one training can't tell"


@pytest.mark.slow
def test_story_of_two_cnns_runs(tmp_path: Path):
    out = run_story(ENSEMBLE, tmp_path)
    for name in ("classes.png", "augmentation.png", "leaderboard.png", "optimism.png"):
        assert (out / name).stat().st_size > 5000
    found = {folder: read(out / folder / "evidence.json") for folder in ("mean", "tta", "overlap")}
    members = ["test_resnet", "test_convnext"]
    assert [system["name"] for system in found["mean"]["systems"]] == [*members, "mean of 2"]
    assert [system["name"] for system in found["overlap"]["systems"]] == [*members, "overlap of 2"]
    rows = {system["rows"] for each in found.values() for system in each["systems"]}
    assert rows == {48}  # two fifths of 120: every system on the same test
    figures = {system["name"]: system["metrics"] for system in found["overlap"]["systems"]}
    least = min(figures[name]["sensitivity"]["value"] for name in members)
    assert figures["overlap of 2"]["sensitivity"]["value"] <= least  # both must predict it
