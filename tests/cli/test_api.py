"""Commands called from Python: what they return, and what they raise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skinlab.cli.api import function
from skinlab.errors import UserError
from skinlab.processes.cores import available_cores


def test_a_training_returns_its_run_with_tables_metrics_and_paths(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["notebook", "--something=else"])
    overrides = ["model=timm", "model.name=test_resnet", "debug=fast", "data.classes=benign,malignant"]
    run = function("train")([*tiny, *overrides])
    assert (run.path.parent, run.path.name.split("_", 2)[2]) == (tmp_path / "runs", "ham10000_timm_ce")
    assert run.metrics["best/monitor"] == run.value
    assert (
        len(run.tables["predictions/val"]) == run.metrics["val/support/benign"] + run.metrics["val/support/malignant"]
    )
    assert run.paths["checkpoints/best.ckpt"] == run.path / "checkpoints" / "best.ckpt"
    assert run.evidence == {}
    again = function("train")([*tiny, *overrides, f"hydra.run.dir={run.path}"])
    assert again.metrics == run.metrics


def test_mistakes_are_raised_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = function("train")
    for overrides, message in (
        (["loss=fokal"], "loss=fokal: no such choice"),
        (["sed=1", "seed=1.5"], "sed: the config has no such key.*seed=1.5: a whole number is expected"),
        (["data=ham10000", "data.root=/nowhere/at/all"], "/nowhere/at/all"),
        (["--multirun", "seed=1"], "--multirun: a flag of the command line"),
    ):
        with pytest.raises(UserError, match=message) as refused:
            train(overrides)
        assert len(str(refused.value).splitlines()) == 1
    assert not list(tmp_path.rglob("*.*")), "nothing may be left behind"


def test_a_command_called_from_python_warns_and_uses_threads_as_on_the_command_line(tmp_path):
    code = """
import logging, os, torch
from skinlab.cli import api
def called(command, settings, invocation):
    logging.getLogger("skinlab.x").warning("threads %s", torch.get_num_threads())
    print(invocation.command)
api.call = called
before = torch.get_num_threads(), dict(os.environ)
api.run("study", ["output=o", "jobs=2"])
assert before == (torch.get_num_threads(), dict(os.environ)) and not logging.getLogger().handlers
"""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr.strip() == f"WARNING: threads {max(1, available_cores() // 2)}"
    assert done.stdout.strip() == "python -m skinlab.study output=o jobs=2"


def test_importing_a_command_imports_nothing_heavy():
    code = "from skinlab import train; import sys; print(train.__doc__, 'hydra' in sys.modules, 'torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip().endswith("False False")
