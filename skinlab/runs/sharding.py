"""Shard parameters, gradients and optimiser state over the processes of a training (``trainer=fsdp``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from skinlab.runs.replicas import ReplicaStrategy


class FullyShardedStrategy(ReplicaStrategy):
    """Lightning's ``ddp`` with torch's ``fully_shard`` (FSDP2) in place of the wrapper that keeps a copy a process.

    Lightning's own ``FSDPStrategy`` (FSDP1) needs GPUs, and its ``ModelParallelStrategy`` restores a checkpoint without
    the module's and callbacks' hooks. Here a checkpoint is that of ``ddp``, whole and of one file: weights are restored
    before they are sharded, and process 0 gathers what it writes. The norm by which gradients are clipped is the global
    one, since torch computes it over the shards.
    """

    name = "fsdp"

    def configure_ddp(self) -> None:
        """Shard the network, and its mean where a callback averages the weights."""
        module = self.lightning_module
        assert module is not None
        averages = (each._average_model for each in module.trainer.callbacks if isinstance(each, WeightAveraging))  # type: ignore[attr-defined]
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        for owner in (module, *(average.module for average in averages if average is not None)):
            shard(owner.network, mesh)  # type: ignore[arg-type]

    def training_step(self, *args: Any, **kwargs: Any) -> STEP_OUTPUT:
        """Take the running statistics of process 0, as ``ddp`` does, then step."""
        self.broadcast_buffers()
        return super().training_step(*args, **kwargs)

    def validation_step(self, batch: Any, batch_idx: int, *args: Any) -> STEP_OUTPUT:
        """Step; after its last batch a process goes on with the network until all are done, which need its shards."""
        output = super().validation_step(batch, batch_idx, *args)
        if batch_idx + 1 == (mine := self.counts[self.global_rank]):
            assert self.lightning_module is not None
            for _ in range(max(self.counts) - mine):
                self.lightning_module(batch["image"])
        return output

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """Return the whole state, see :func:`gathered`."""
        whole: dict[str, Tensor] = gathered(super().optimizer_state(optimizer))
        return whole

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Restore this process's shards of the optimiser state."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [each for group in optimizer.param_groups for each in group["params"]]
            shards = {i: _shards(values, parameters[i]) for i, values in state["state"].items()}
            optimizer.load_state_dict(state | {"state": shards})

    def teardown(self) -> None:
        """End; the shards stay on their devices, as with Lightning's own strategies for shards."""
        assert self.cluster_environment is not None
        assert self.accelerator is not None
        self.cluster_environment.teardown()
        self.precision_plugin.teardown()
        self.accelerator.teardown()


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a network over the processes; its ``state_dict`` is whole from now on, see :func:`gathered`.

    At any time a process has the whole parameters of few blocks.

    Args:
        network: with the same parameters in all processes.
        mesh: the processes, in one dimension.
    """
    network.to(memory_format=torch.contiguous_format)  # required by fully_shard
    for block in blocks(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)
    network.register_state_dict_post_hook(_gather_weights)  # type: ignore[no-untyped-call]


def blocks(network: nn.Module) -> list[nn.Module]:
    """Return timm's blocks of a network: the members of its innermost sequences that timm defines.

    They are called as a whole, whereas a block may use the weights of its layers without calling these.

    >>> import timm
    >>> [type(block).__name__ for block in blocks(timm.create_model("test_vit"))]
    ['Block', 'Block', 'Block', 'Block', 'Block', 'Block']
    """
    found = [block for child in network.children() for block in blocks(child)]
    if not found and isinstance(network, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
        found = [child for child in network.children() if type(child).__module__.startswith("timm.models")]
    return found


def gathered(state: Any) -> Any:
    """Return nested containers with whole tensors in place of shards: in process 0 on the CPU, in others empty ones.

    All processes have to call it.
    """
    return tree_map_only(DTensor, _gather, state)


def _gather(shards: DTensor) -> Tensor:
    whole = shards.full_tensor()
    return whole.cpu() if dist.get_rank() == 0 else whole.new_empty(0)


def _gather_weights(network: nn.Module, state: dict[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    state.update(gathered({name: value for name, value in state.items() if name.startswith(prefix)}))


def _shards(values: dict[str, Any], parameter: DTensor) -> dict[str, Any]:
    """Return the optimiser's values of a parameter, those of its shape sharded as it is."""

    def sharded(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            return value
        return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)

    return {name: sharded(value) for name, value in values.items()}
