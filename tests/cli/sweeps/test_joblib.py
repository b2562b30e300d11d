"""Jobs side by side on one machine: hydra/launcher=joblib."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
sys.stdin.read()
"""
CHILD = """
import os, time
from skinlab.processes.signals import end_with
end_with(os.getppid())
end_with(os.getppid())
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.is_file() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_worker_ends_with_the_process_that_started_it():
    words = [sys.executable, "-c", PARENT, CHILD]
    parent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    time.sleep(2)
    assert is_alive(child)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_jobs_run_side_by_side_and_a_failed_one_costs_no_other(run, tiny, tmp_path):
    sweep = tmp_path / "sweep"
    words = [*tiny, "trainer.max_epochs=1", "seed=0,1", "data.fold=0,7", "logger=wandb", f"hydra.sweep.dir={sweep}"]
    done = run("train", "-m", *words, *JOBLIB)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "2 of 4 jobs finished" in done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: 2 of 4 jobs failed: job 2 (seed=0 data.fold=7), job 4 (seed=1 data.fold=7): ")
    assert "INFO: job 1: finished in " in done.stderr
    assert done.stderr.count("data.fold=7 is out of range") == 3  # of both jobs, and the last line
    for number in (0, 2):
        assert "Balanced accuracy" in (sweep / str(number) / "output.txt").read_text()
        assert (sweep / str(number) / "metrics.json").is_file()
    times = [(sweep / number / name).stat().st_mtime for number, name in (("0", "metrics.json"), ("2", "config.yaml"))]
    assert times[1] < times[0]
    again = run("train", "-m", *words, *JOBLIB)
    assert again.stderr.count("finished before") == 2


@pytest.mark.slow
def test_a_search_chooses_its_jobs_side_by_side(run, tiny, tmp_path):
    words = [*tiny, "trainer.max_epochs=1", "sweep=optuna_random", "loss=ce", "sampler=none", "augment=none"]
    words += ["hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = run("train", "-m", *words, *JOBLIB)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 jobs finished" in done.stdout
    assert json.loads((tmp_path / "sweep" / "best.json").read_text())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_ctrl_c_ends_the_jobs_and_starts_no_other(tiny, tmp_path):
    sweep = tmp_path / "sweep"
    words = [*tiny, "trainer.max_epochs=500", "seed=0,1,2", f"hydra.sweep.dir={sweep}", *JOBLIB]
    process = subprocess.Popen(
        [sys.executable, "-m", "skinlab.train", "-m", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    while not all((sweep / number / "checkpoints" / "last.ckpt").is_file() for number in "01"):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)  # until all processes have closed it
    assert process.returncode == 130
    assert "interrupted: to go on: python -m skinlab.train -m" in errors
    assert not (sweep / "2" / "config.yaml").exists()
