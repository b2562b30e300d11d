"""Any number of processes gives the predictions of one, image by image, at the same images a step."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.run_directory import metrics_of

IMAGES = 12  # of a step, over all processes
RUNS = {
    "every image": [],
    "weighted sampling": ["sampler=weighted"],
    "the pool, too": ["semi=fixmatch", "semi.pool_ratio=1", "data.label_budget=0.6"],
}


@pytest.fixture(scope="module")
def small(tiny) -> list[str]:
    """A training without dropout and batch norm, which are of each process on a CPU."""
    kept = [word for word in tiny if not word.startswith(("model=", "trainer=", "data.batch_size"))]
    return [*kept, "model=timm", "model.name=test_convnext", "model.dropout=0"]


def predictions(run_dir: Path) -> pd.DataFrame:
    table = pd.read_csv(run_dir / "predictions" / "val.csv")
    assert table["image_id"].is_unique
    assert int(sum(value for name, value in metrics_of(run_dir).items() if name.startswith("val/support/"))) == len(
        table
    )
    return table


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_and_three_processes_are_one(name, run, small, tmp_path):
    overrides = [*small, *RUNS[name]]
    done = run("train", *overrides, "trainer=cpu", f"data.batch_size={IMAGES}", f"hydra.run.dir={tmp_path / '1'}")
    assert done.returncode == 0, done.stderr
    one = predictions(tmp_path / "1")
    for count in (2, 3):
        more = ["trainer=ddp", "trainer.accelerator=cpu", f"data.batch_size={IMAGES // count}"]
        words = [*overrides, *more, f"trainer.devices={count}", f"hydra.run.dir={tmp_path / str(count)}"]
        done = run("train", *words)
        assert done.returncode == 0, done.stderr
        several = predictions(tmp_path / str(count))
        assert one["image_id"].tolist() == several["image_id"].tolist()
        shares = [table.filter(like="prob_").to_numpy() for table in (one, several)]
        assert abs(shares[0] - shares[1]).max() < 1e-6


# With fewer batches for two of three processes, in training steps that two batches share.
SHARDS = ["model.ema_decay=0.9", "model.freeze_epochs=1", "trainer.gradient_clip_val=0.05", "sampler=weighted"]
SHARDS += ["trainer.accumulate_grad_batches=2"]


@pytest.mark.ddp
@pytest.mark.slow
def test_three_processes_with_shards_are_one(run, small, tmp_path):
    overrides = [*small, *SHARDS]
    done = run("train", *overrides, "trainer=cpu", "data.batch_size=21", f"hydra.run.dir={tmp_path / '1'}")
    assert done.returncode == 0, done.stderr
    more = ["trainer=fsdp", "trainer.accelerator=cpu", "data.batch_size=7", "trainer.devices=3"]
    done = run("train", *overrides, *more, f"hydra.run.dir={tmp_path / '3'}")
    assert done.returncode == 0, done.stderr
    one, three = (predictions(tmp_path / name) for name in "13")
    assert one["image_id"].tolist() == three["image_id"].tolist()
    assert abs(one.filter(like="prob_") - three.filter(like="prob_")).to_numpy().max() < 1e-6
    states = [torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in "13"]
    assert states[0].keys() == states[1].keys()
    for key in ("state_dict", "current_model_state"):
        assert states[0][key].keys() == states[1][key].keys()
        for name, value in states[0][key].items():
            assert (value - states[1][key][name]).abs().max() < 1e-5, name
    gradients = [state["optimizer_states"][0]["state"] for state in states]  # their means, clipped by the global norm
    assert max(float(each["exp_avg"].abs().max()) for each in gradients[0].values()) > 1e-4
    for number, each in gradients[0].items():
        assert (each["exp_avg"] - gradients[1][number]["exp_avg"]).abs().max() < 1e-7


@pytest.mark.ddp
@pytest.mark.slow
def test_a_killed_training_with_shards_continues_with_the_same_weights(small, tmp_path):
    words = [*small, "trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=6"]
    words += ["trainer.max_epochs=4", "model.ema_decay=0.9"]

    def start(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "skinlab.train", *words, f"hydra.run.dir={tmp_path / name}"])

    assert start("whole").wait() == 0
    killed = start("killed")
    while not (tmp_path / "killed" / "checkpoints" / "last.ckpt").is_file():
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "killed" / "metrics.json").exists()
    assert start("killed").wait() == 0
    states = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "killed")
    ]
    for key in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, states[1][key][name]) for name, value in states[0][key].items())
    predicted = [(tmp_path / name / "predictions" / "val.csv").read_bytes() for name in ("whole", "killed")]
    assert predicted[0] == predicted[1]


def torchrun(folder: Path, count: int, *words: str, command: str = "train") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    line += ["-m", f"skinlab.{command}", *words]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.ddp
@pytest.mark.slow
def test_torchrun_makes_one_run(small, tmp_path):
    words = [*small, "trainer=ddp", "trainer.accelerator=cpu", "data.batch_size=6"]
    done = torchrun(tmp_path, 2, *words, f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    predictions(tmp_path / "run")
    assert done.stderr.count("will hold") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.ddp
@pytest.mark.slow
def test_what_torchrun_can_t_start_is_refused_in_one_line(small, tmp_path):
    refused = torchrun(tmp_path, 2, *small, "trainer=ddp", "trainer.accelerator=cpu")
    assert "error: torchrun has started 2 processes, which need one directory: add hydra.run.dir=RUN" in refused.stderr
    assert not list((tmp_path / "runs").iterdir())
