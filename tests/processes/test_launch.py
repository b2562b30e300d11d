"""What has started this process, and the arguments of the Trainer that follow from it."""

import os
import signal
import subprocess
from types import SimpleNamespace

import pytest
from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment

from skinlab.cli.launched import check_launch, refuse_launch
from skinlab.errors import UserError
from skinlab.files import is_main_process
from skinlab.processes import requeue
from skinlab.processes.launch import Launch, find_launch
from skinlab.runs.ranks import cluster_environment, process_arguments

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "1"}
SRUN = {
    **{"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_NTASKS": "4"},
    **{"SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "17", "SLURM_JOB_NAME": "train"},
}


@pytest.fixture
def started(monkeypatch):
    """Set the variables of a launcher."""
    for name in [*TORCHRUN, *SRUN]:
        monkeypatch.delenv(name, raising=False)

    def start(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return start


def trainer(**more):
    return SimpleNamespace(**{"devices": "auto", "num_nodes": 1, "strategy": "ddp", "cluster": None} | more)


def test_the_launcher_decides_how_many_devices_and_nodes_there_are(started):
    assert process_arguments(trainer()) == {"devices": "auto", "num_nodes": 1}
    started(TORCHRUN)
    assert find_launch() == Launch("torchrun", 5, 8, 4)
    assert process_arguments(trainer()) == {"devices": 4, "num_nodes": 2}
    assert isinstance(cluster_environment(trainer())[0], TorchElasticEnvironment)
    assert not is_main_process()


def test_slurm_s_processes_are_those_of_srun(started):
    started(SRUN)
    settings = trainer(cluster="slurm", num_nodes="auto")
    assert process_arguments(settings) == {"devices": 2, "num_nodes": 2}
    (environment,) = cluster_environment(settings)
    assert isinstance(environment, SLURMEnvironment)
    assert not environment.auto_requeue
    assert isinstance(cluster_environment(trainer())[0], LightningEnvironment)


@pytest.mark.parametrize(
    ("variables", "settings", "message"),
    [
        ({}, {"cluster": "slurm"}, "trainer=slurm: srun has not started this process; write srun before the command"),
        (TORCHRUN, {"strategy": "auto"}, "torchrun has started 8 processes, which need trainer=ddp"),
        (SRUN, {}, "srun has started 4 processes, which need trainer=slurm"),
        (TORCHRUN, {"devices": 2}, "trainer.devices=2 trainer.num_nodes=1: torchrun has started 8 processes"),
        (SRUN | {"SLURM_NTASKS_PER_NODE": None}, {"cluster": "slurm"}, "set the processes of a node by --ntasks-per-"),
    ],
)
def test_settings_that_don_t_fit_the_launcher_are_refused(started, variables, settings, message):
    started({name: value for name, value in variables.items() if value is not None})
    with pytest.raises(UserError) as error:
        process_arguments(trainer(**settings))
    assert message in str(error.value)


def test_several_processes_need_one_directory_and_no_sweep(started):
    config, directory = {"trainer": {"cluster": "slurm"}}, ["hydra.run.dir=x"]
    check_launch("train", config, directory)
    with pytest.raises(UserError, match=r"trainer=slurm continues in the same directory: add hydra.run.dir=RUN"):
        check_launch("train", config, [])
    started(SRUN)
    check_launch("train", config, directory)
    with pytest.raises(UserError, match="srun has started 4 processes, which need one directory"):
        check_launch("pretrain", config, [])
    with pytest.raises(UserError, match=r"skinlab.predict is for one; start it without srun"):
        check_launch("predict", {}, directory)
    with pytest.raises(UserError, match="each of which would run the whole sweep; leave srun out"):
        refuse_launch()


def test_only_the_first_process_requeues_and_a_refusal_is_reported(started, monkeypatch, caplog):
    calls = []

    def called(words, **_):
        calls.append(words)
        return SimpleNamespace(returncode=len(calls) - 1, stderr="Job can not be requeued")

    monkeypatch.setattr(subprocess, "run", called)
    started(SRUN)
    requeue.requeue()
    assert not calls
    started({"SLURM_PROCID": "0"})
    former = signal.getsignal(signal.SIGUSR1)
    try:
        requeue.requeue_at("USR1")
        os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert calls == [["scontrol", "requeue", "17"]]
    started({"SLURM_ARRAY_JOB_ID": "9", "SLURM_ARRAY_TASK_ID": "2"})
    requeue.requeue()
    assert calls[1] == ["scontrol", "requeue", "9_2"]
    assert "SLURM does not requeue job 9_2 (Job can not be requeued); submit it again" in caplog.text
