"""Find out which processes a launcher has started together: torchrun, or SLURM's srun."""

from __future__ import annotations

import os
from typing import NamedTuple


class Launch(NamedTuple):
    """Processes that train one model together.

    Attributes:
        launcher: ``torchrun`` or ``srun``.
        rank: number of this process among all.
        processes: of all machines.
        per_node: of each machine.
    """

    launcher: str
    rank: int
    processes: int
    per_node: int

    @property
    def nodes(self) -> int:
        """Number of machines."""
        return self.processes // self.per_node

    def __str__(self) -> str:
        """Return what it is in words, for messages."""
        return f"{self.launcher} has started {self.processes} process{'es' if self.processes > 1 else ''}"


def find_launch() -> Launch | None:
    """Return what started this process, None where it was neither torchrun nor srun."""
    variables = os.environ
    if "TORCHELASTIC_RUN_ID" in variables:
        names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
        return Launch("torchrun", *(int(variables[name]) for name in names))
    if "SLURM_STEP_NUM_TASKS" in variables and "SLURM_PROCID" in variables:
        processes, nodes = int(variables["SLURM_STEP_NUM_TASKS"]), int(variables["SLURM_STEP_NUM_NODES"])
        return Launch("srun", int(variables["SLURM_PROCID"]), processes, max(processes // nodes, 1))
    return None
