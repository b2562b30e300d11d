"""Check the command line of processes that torchrun or srun has started together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skinlab.errors import UserError
from skinlab.processes.launch import find_launch

TRAINS = ("train", "pretrain")


def check_launch(name: str, config: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuse several processes without one run directory, and a job that would be requeued without finding its run.

    Args:
        name: of the command.
        config: of the command.
        overrides: Hydra's own on the command line.

    Raises:
        UserError: the command is for one process, or ``hydra.run.dir`` is missing.
    """
    launch = find_launch()
    several = launch is not None and launch.processes > 1
    if launch and several and name not in TRAINS:
        raise UserError(f"{launch}, skinlab.{name} is for one; start it without {launch.launcher}")
    requeued = (config.get("trainer") or {}).get("cluster") == "slurm"
    if (several or requeued) and not any(word.startswith("hydra.run.dir=") for word in overrides):
        reason = f"{launch}, which need one directory" if several else "trainer=slurm continues in the same directory"
        raise UserError(f"{reason}: add hydra.run.dir=RUN")


def refuse_launch() -> None:
    """Refuse a sweep that each of several processes would start.

    Raises:
        UserError: torchrun or srun has started several processes.
    """
    launch = find_launch()
    if launch and launch.processes > 1:
        raise UserError(
            f"{launch}, each of which would run the whole sweep; leave {launch.launcher} out: with trainer=ddp each "
            "job starts its own"
        )
