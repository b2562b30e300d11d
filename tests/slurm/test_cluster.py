"""Trainings on a SLURM cluster of two nodes: two processes equal one, and a job that is started again loses nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.run_directory import assert_same_weights
from tests.slurm.cluster import PROGRAMS, Cluster, running_cluster, wait_for

ROOT = Path(__file__).parents[2]
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING) or os.getuid() != 0, reason=f"needs root and the programs of SLURM: {MISSING}"),
]
PROBABILITIES = ["prob_benign", "prob_malignant"]
HOURS = 3600.0  # of a busy machine at most


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster") / "slurm"
    for path in (folder.parent, *folder.parent.parents[:2]):
        path.chmod(0o755)  # for the user munge
    with running_cluster(folder) as running:
        yield running


@pytest.fixture(scope="module")
def small(tiny) -> list[str]:
    """A training without batch norm, whose statistics are of each process on a CPU; short steps keep rounding small."""
    kept = [word for word in tiny if not word.startswith(("model=", "trainer", "data.batch_size"))]
    model = ["model=timm", "model.name=test_convnext", "model.dropout=0", "optimizer.lr=1e-4"]
    return [*kept, *model, "trainer.precision=32-true", "trainer.max_epochs=12", "trainer.log_every_n_steps=1"]


def command(small: list[str], run_dir: Path, *more: str) -> str:
    words = [*small, *more, f"hydra.run.dir={run_dir}"]
    return f"{sys.executable} -m skinlab.train " + " ".join(f"'{word}'" for word in words)


def alone(*words: str, **environment: str) -> str:
    """Run a training on this machine, outside of the cluster, and return what it prints."""
    line, variables = [sys.executable, "-m", "skinlab.train", *words], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, env=variables | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def submit(cluster: Cluster, small: list[str], run_dir: Path) -> str:
    """Submit a training by a process on each node."""
    trained = command(small, run_dir, "trainer=slurm", "trainer.accelerator=cpu", "data.batch_size=5")
    script = f"export MASTER_ADDR=127.0.0.1 PYTHONPATH={ROOT}\nsrun --kill-on-bad-exit=1 {trained}"
    return cluster.submit(script, "--nodes=2", "--ntasks-per-node=1", "--requeue")


@pytest.fixture(scope="module")
def uninterrupted(cluster, small, tmp_path_factory) -> Path:
    """The run of a job on two nodes."""
    run_dir = tmp_path_factory.mktemp("uninterrupted") / "run"
    job = submit(cluster, small, run_dir)
    assert cluster.wait(job, "COMPLETED", "FAILED", seconds=HOURS)["JobState"] == "COMPLETED", cluster.log(job)
    assert "NumNodes=2" in cluster.call("scontrol", "show", "job", job)
    return run_dir


def wait_for_epoch(cluster: Cluster, job: str, run_dir: Path) -> None:
    """Wait until the first epoch has its checkpoint and the second has begun."""
    last = run_dir / "checkpoints" / "last.ckpt"

    def begun() -> bool:
        assert cluster.facts(job)["JobState"] in ("PENDING", "RUNNING"), cluster.log(job)
        return last.exists()

    wait_for(begun, HOURS, lambda: f"{cluster.facts(job)} {cluster.log(job)}")


def assert_finished(cluster: Cluster, job: str, run_dir: Path, uninterrupted: Path) -> None:
    facts = cluster.wait(job, "COMPLETED", "FAILED", "TIMEOUT", "NODE_FAIL", "CANCELLED", seconds=HOURS)
    assert facts["JobState"] == "COMPLETED", cluster.log(job)
    assert int(facts["Restarts"]) == 1
    assert "holds a run, which is continued" in cluster.log(job)
    assert_same_weights(uninterrupted, run_dir)
    tables = [pd.read_csv(each / "predictions" / "val.csv") for each in (uninterrupted, run_dir)]
    pd.testing.assert_frame_equal(*tables)


def test_two_nodes_are_one_process(uninterrupted, small, tmp_path):
    alone(*small, "trainer=cpu", "data.batch_size=10", f"hydra.run.dir={tmp_path / 'one'}")
    one, two = (pd.read_csv(each / "predictions" / "val.csv") for each in (tmp_path / "one", uninterrupted))
    assert one["image_id"].tolist() == two["image_id"].tolist()
    assert float((one[PROBABILITIES] - two[PROBABILITIES]).abs().to_numpy().max()) < 1e-6


def test_a_signal_in_mid_epoch_requeues_the_job_which_ends_with_the_same_weights(
    cluster, small, uninterrupted, tmp_path
):
    run_dir = tmp_path / "run"
    job = submit(cluster, small, run_dir)
    wait_for_epoch(cluster, job, run_dir)
    cluster.call("scancel", "--signal=USR1", job)
    wait_for(lambda: int(cluster.facts(job)["Restarts"]) == 1, HOURS, lambda: cluster.log(job))
    assert (run_dir / "checkpoints" / "requeue.ckpt").is_file()
    assert_finished(cluster, job, run_dir, uninterrupted)
    assert f"job {job} is requeued" in cluster.log(job)
    assert not (run_dir / "checkpoints" / "requeue.ckpt").exists()


def test_a_job_that_loses_a_node_is_requeued_and_ends_with_the_same_weights(cluster, small, uninterrupted, tmp_path):
    run_dir = tmp_path / "run"
    job = submit(cluster, small, run_dir)
    wait_for_epoch(cluster, job, run_dir)
    cluster.daemons["n2"].kill()
    cluster.daemons["n2"].wait()
    cluster.call("scontrol", "update", "nodename=n2", "state=down", "reason=lost")
    wait_for(lambda: int(cluster.facts(job)["Restarts"]) == 1, HOURS, lambda: cluster.log(job))
    cluster.start_node("n2")  # which brings it back into service
    assert_finished(cluster, job, run_dir, uninterrupted)


def test_a_sweep_runs_its_jobs_on_the_cluster(cluster, small, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    words = [*small, "trainer=cpu", "trainer.max_epochs=1", "loss=ce,focal", "hydra/launcher=submitit_slurm"]
    words += ["hydra.launcher.mem_gb=2", "hydra.launcher.timeout_min=60", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    printed = alone("-m", *words, **cluster.environment)
    assert "2 of 2 jobs finished" in printed
    assert all((tmp_path / "sweep" / str(number) / "metrics.json").is_file() for number in range(2))
    found = cluster.call("scontrol", "show", "job")
    assert len(re.findall(r"JobName=train", found)) >= 2
