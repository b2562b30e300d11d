"""Arguments of the Trainer for several processes: which launcher starts them, and how many there are."""

from __future__ import annotations

import os
from typing import Any

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from skinlab.errors import UserError
from skinlab.processes.launch import Launch, find_launch
from skinlab.settings.groups import TrainerSettings


def process_arguments(trainer: TrainerSettings) -> dict[str, Any]:
    """Return ``devices`` and ``num_nodes``; what is ``auto`` follows from the processes that a launcher has started.

    Args:
        trainer: of the run.

    Raises:
        UserError: the settings do not fit the processes that torchrun or srun has started.
    """
    launch = find_launch()
    _check_launch(trainer, launch)
    counts: dict[str, Any] = {"devices": trainer.devices, "num_nodes": trainer.num_nodes}
    if launch is None or trainer.strategy == "auto":
        return counts | ({"num_nodes": 1} if trainer.num_nodes == "auto" else {})
    if trainer.devices == "auto":
        counts["devices"] = launch.per_node
    if trainer.num_nodes == "auto" or trainer.devices == "auto":
        counts["num_nodes"] = launch.nodes
    devices = counts["devices"]
    asked = (len(devices) if isinstance(devices, list) else int(devices)) * counts["num_nodes"]
    if asked != launch.processes:
        raise UserError(
            f"trainer.devices={trainer.devices} trainer.num_nodes={trainer.num_nodes}: {launch}; leave both out"
        )
    return counts


def _check_launch(trainer: TrainerSettings, launch: Launch | None) -> None:
    slurm = trainer.cluster == "slurm"
    if slurm and (launch is None or launch.launcher != "srun"):
        raise UserError(
            "trainer=slurm: srun has not started this process; write srun before the command, in a script for sbatch, "
            "or choose trainer=ddp"
        )
    if slurm and launch and launch.processes > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise UserError("trainer=slurm: set the processes of a node by --ntasks-per-node=N instead of --ntasks")
    if launch and launch.processes > 1 and not slurm:
        if launch.launcher == "srun":
            raise UserError(f"{launch}, which need trainer=slurm")
        if trainer.strategy == "auto":
            raise UserError(f"{launch}, which need trainer=ddp")


def cluster_environment(trainer: TrainerSettings) -> list[ClusterEnvironment]:
    """Return Lightning's plugin for the launcher of the processes; none where Lightning finds it by itself.

    Requeueing is left to :class:`skinlab.callbacks.requeue.RequeueCheckpoint`.
    """
    launch = find_launch()
    if launch and launch.launcher == "torchrun":
        return [TorchElasticEnvironment()]
    if trainer.cluster == "slurm":
        return [SLURMEnvironment(auto_requeue=False)]
    if "SLURM_NTASKS" in os.environ:  # Lightning would take every process in a job of SLURM's for one of srun's
        return [LightningEnvironment()]
    return []
