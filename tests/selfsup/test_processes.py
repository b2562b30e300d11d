"""Two processes of six images, and three of four, are one process of twelve."""

from pathlib import Path

import pytest
import torch

WORKER = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from skinlab.selfsup.encoder import Encoder
from skinlab.selfsup.methods import build_method
from tests.choices import read_choice

rank, folder, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

class Step(nn.Module):
    def __init__(self, name):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(48, 24), nn.Tanh())
        self.method = build_method(read_choice("ssl", name) | {"output_dim": 8}, self.backbone, 24)
        self.method.head = nn.Linear(24, 8)  # without BatchNorm, whose statistics are of each process

    def forward(self, views):
        return self.method(views, Encoder(self.backbone))

def step(name, share, wrap):
    module = Step(name)
    views = torch.randn(2, 12, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    wrapped = wrap(module)  # its hooks average the gradients as long as it lives
    loss = wrapped([view[share] for view in views])
    loss.backward()
    return {"loss": loss.detach(), "gradients": [p.grad for p in module.parameters()]}

names = ["simclr", "vicreg"]
whole = {name: step(name, slice(None), lambda module: module) for name in names}
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
share = slice(12 // count * rank, 12 // count * (rank + 1))
part = {name: step(name, share, nn.parallel.DistributedDataParallel) for name in names}
dist.destroy_process_group()
torch.save({"whole": whole, "part": part}, f"{folder}/{rank}.pt")
"""


@pytest.mark.ddp
@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_processes_are_one(run_ranks, tmp_path: Path, count):
    run_ranks(WORKER, count)
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(count)]
    for name, whole in results[0]["whole"].items():
        parts = [each["part"][name] for each in results]
        assert float(whole["gradients"][0].abs().max()) > 1e-3
        torch.testing.assert_close(sum(part["loss"] for part in parts) / count, whole["loss"])
        for part in parts:
            for mine, gradient in zip(part["gradients"], whole["gradients"], strict=True):
                torch.testing.assert_close(mine, gradient, rtol=1e-4, atol=1e-6)
