"""Train a copy of the network in each of several processes (``trainer=ddp``)."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.types import STEP_OUTPUT

from skinlab.errors import UserError


class ReplicaStrategy(DDPStrategy):
    """Lightning's ``ddp``, where processes may have different numbers of validation batches.

    Lightning validates through torch's wrapper, which sends the buffers of process 0, such as running statistics, to
    the others before each batch. Nothing would match what is sent before a batch that only some processes have. Here
    they are sent before the first one.
    """

    name = "ddp"
    counts: list[Any]  # validation batches of each process

    def on_validation_start(self) -> None:
        """Learn how many batches the processes have.

        Raises:
            UserError: one has none.
        """
        assert self.lightning_module is not None
        self.counts = [0] * dist.get_world_size()
        dist.all_gather_object(self.counts, sum(self.lightning_module.trainer.num_val_batches))
        if min(self.counts) == 0:
            raise UserError(
                f"trainer={self.name}: fewer validation images than its {len(self.counts)} processes; set "
                "trainer.devices lower"
            )

    def validation_step(self, batch: Any, batch_idx: int, *args: Any) -> STEP_OUTPUT:
        """Validate by the module itself, before the first batch with the buffers of process 0."""
        assert self.lightning_module is not None
        if batch_idx == 0:
            self.broadcast_buffers()
        with self.precision_plugin.val_step_context():
            return self.lightning_module.validation_step(batch, batch_idx, *args)

    def broadcast_buffers(self) -> None:
        """Give all processes the buffers of process 0."""
        assert self.lightning_module is not None
        for buffer in self.lightning_module.buffers():
            dist.broadcast(buffer, 0)
