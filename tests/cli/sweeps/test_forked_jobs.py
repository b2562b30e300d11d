"""Jobs of a sweep are forked, and leave the bytes that the command leaves in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from skinlab.cli.sweeps.isolated import run_isolated
from skinlab.cli.sweeps.sweep import Sweep

WATCH = """
import multiprocessing, pathlib
with pathlib.Path("forked.txt").open("a") as file:
    print(multiprocessing.parent_process() is not None, file=file)
"""


@pytest.mark.slow
def test_a_forked_job_leaves_the_weights_and_predictions_of_the_command(tiny, tmp_path):
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "__init__.py").write_text(WATCH)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}

    def train(*overrides: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "skinlab.train", *overrides, *tiny, "trainer.max_epochs=1"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    swept = train("-m", "seed=0,1", "plugins=[watch]", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert swept.returncode == 0, swept.stderr
    assert (tmp_path / "forked.txt").read_text().split() == ["False", *["True"] * 4]  # two jobs, and their pictures
    alone = train("seed=1", f"hydra.run.dir={tmp_path / 'alone'}")
    assert alone.returncode == 0, alone.stderr
    own, forked = tmp_path / "alone", tmp_path / "sweep" / "1"
    for name in ("predictions/val.csv", "predictions/test.csv", "split.csv"):
        assert (own / name).read_bytes() == (forked / name).read_bytes()
    weights = [torch.load(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (own, forked)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert {path.name for path in own.iterdir()} | {"job.json"} == {path.name for path in forked.iterdir()}


@pytest.mark.parametrize(
    ("devices", "launcher", "forks"), [(1, None, True), (2, None, False), ("auto", None, False), (1, "Slurm", False)]
)
def test_only_jobs_of_one_device_and_of_this_machine_are_forked(
    hydra_of, ended, tmp_path, monkeypatch, devices, launcher, forks
):
    asked = []
    ended(0)
    monkeypatch.setattr("skinlab.processes.forked.can_fork", lambda *_: asked.append(True))
    hydra = hydra_of(tmp_path, **({"launcher": f"{launcher}Launcher"} if launcher else {}))
    run_isolated("train", hydra, Sweep(), {"trainer": {"devices": devices}})
    assert bool(asked) == forks
