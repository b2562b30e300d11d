"""Processes with different numbers of validation batches communicate in step."""

import pytest

SCRIPT = """
import sys
from types import SimpleNamespace
import torch
import torch.distributed as dist
from skinlab.errors import UserError
from skinlab.runs.replicas import ReplicaStrategy

rank, folder, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=count)
strategy = ReplicaStrategy(parallel_devices=[torch.device("cpu")] * count)


def validate(n_batches):
    network, seen = torch.nn.BatchNorm1d(1), []
    network.running_mean += rank + 1
    strategy._lightning_module = SimpleNamespace(
        buffers=network.buffers,
        trainer=SimpleNamespace(num_val_batches=[n_batches]),
        validation_step=lambda batch, number: seen.append((number, float(network.running_mean))),
    )
    strategy.on_validation_start()
    for number in range(n_batches):
        strategy.validation_step(None, number)
    assert seen == [(number, 1.0) for number in range(n_batches)], seen
    total = torch.tensor(rank + 1)
    dist.all_reduce(total)
    assert total == 3, total


validate((2, 1)[rank])
validate(3)
try:
    validate((1, 0)[rank])
except UserError as error:
    assert "trainer=ddp: fewer validation images than its 2 processes" in str(error), error
else:
    raise AssertionError("a process without a batch")
dist.destroy_process_group()
"""


@pytest.mark.ddp
def test_buffers_are_those_of_the_first_process_however_many_batches_the_others_have(run_ranks):
    run_ranks(SCRIPT)
