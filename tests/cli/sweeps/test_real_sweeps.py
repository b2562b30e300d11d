"""Sweeps of real trainings: side by side, and killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from skinlab.cli.sweeps.search import STUDY

pytestmark = pytest.mark.slow
SMALL = ["model=timm", "model.name=test_resnet", "trainer.max_epochs=1"]


def start(tmp_path, *words):
    command = [sys.executable, "-m", "skinlab.train", "-m", *words, f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.2)


def test_joblib_runs_jobs_side_by_side_each_in_a_process_of_its_own(tiny, tmp_path):
    words = [*tiny, *SMALL, "logger=wandb", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "loss=ce,focal"]
    with start(tmp_path, *words) as process:
        output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "2 of 2 jobs finished" in output
    for number, loss in enumerate(["ce", "focal"]):
        folder = tmp_path / "sweep" / str(number)
        assert json.loads((folder / "metrics.json").read_text())["best/monitor"] > 0, loss
        assert len(list((folder / "wandb").glob("offline-run-*"))) == 1


def test_an_interrupt_ends_the_jobs_of_joblib(tiny, tmp_path):
    words = [*tiny, *SMALL, "trainer.max_epochs=500", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1"]
    with start(tmp_path, *words) as process:
        wait_for(tmp_path / "sweep" / "1" / "csv" / "metrics.csv", process)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(120) == 130
    for number in "01":
        lock = tmp_path / "sweep" / number / ".lock"
        while lock.exists():  # until the job has ended; pytest's own limit ends a failure
            time.sleep(0.2)


def test_a_killed_search_goes_on_with_the_job_that_was_running(tiny, tmp_path):
    words = [*tiny, *SMALL, "sweep=optuna_tpe", "hydra.sweeper.n_trials=2"]
    with start(tmp_path, *words) as process:
        wait_for(tmp_path / "sweep" / "1" / "config.yaml", process)
        process.send_signal(signal.SIGKILL)
    first = (tmp_path / "sweep" / "0" / "metrics.json").stat().st_mtime_ns
    with start(tmp_path, *words) as process:
        output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "2 of 2 jobs finished" in output
    assert (tmp_path / "sweep" / "0" / "metrics.json").stat().st_mtime_ns == first, "it is not run again"
    assert (tmp_path / "sweep" / STUDY).is_file()
    assert json.loads((tmp_path / "sweep" / "best.json").read_text())["folder"] in ("0", "1")
