"""A network in shards: its blocks, what each process keeps, and what is refused."""

import pytest
import timm
import torch

from skinlab.errors import UserError
from skinlab.runs.parts import trainer_arguments
from skinlab.runs.sharding import FullyShardedStrategy, blocks

WORKER = """
import sys, timm, torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from skinlab.runs.sharding import gathered, shard

rank, folder, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=count)
torch.manual_seed(0)
network = timm.create_model("test_vit", num_classes=3)
before = {name: value.clone() for name, value in network.state_dict().items()}
shard(network, init_device_mesh("cpu", (count,)))
optimizer = torch.optim.AdamW(network.parameters())
network(torch.ones(2, 3, 160, 160)).sum().backward()
optimizer.step()
own = sum(each.to_local().numel() for each in network.parameters())
assert own < 0.55 * sum(map(torch.numel, before.values())), own
for parameter in network.parameters():
    state = optimizer.state[parameter]["exp_avg"]
    assert state.to_local().numel() == parameter.to_local().numel() == parameter.grad.to_local().numel()
after, whole = network.state_dict(), gathered(optimizer.state_dict())
tensors = [*after.values(), *(state["exp_avg"] for state in whole["state"].values())]
assert not any(isinstance(each, DTensor) for each in tensors)
if rank:
    assert not sum(map(torch.numel, tensors))
else:
    assert {name: value.shape for name, value in after.items()} == {k: v.shape for k, v in before.items()}
    assert all((value - before[name]).abs().max() < 0.0011 for name, value in after.items())
    assert any(not torch.equal(value, before[name]) for name, value in after.items())
dist.barrier()
"""


def test_each_process_keeps_a_part_of_weights_gradients_and_optimiser_state(run_ranks):
    run_ranks(WORKER)


@pytest.mark.parametrize(
    ("name", "number"),
    [("resnet18", 8), ("test_convnext", 9), ("densenet121", 58), ("tf_efficientnet_lite0", 16), ("test_vit", 6)],
)
def test_most_weights_are_in_blocks_that_do_not_overlap(name, number):
    network = timm.create_model(name, num_classes=3)
    found = blocks(network)
    assert len(found) == number
    inside = [parameter for block in found for parameter in block.parameters()]
    assert len({id(each) for each in inside}) == len(inside)
    assert sum(map(torch.numel, inside)) > 0.8 * sum(map(torch.numel, network.parameters()))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.compile=true"], "trainer=fsdp: a compiled network is not sharded; set model.compile=false"),
        (["semi=mean_teacher"], "trainer=fsdp: the teacher of semi=mean_teacher is not sharded; use trainer=ddp"),
    ],
)
def test_what_cannot_be_sharded_is_refused(compose_train, tiny, overrides, message):
    with pytest.raises(UserError) as error:
        compose_train(*tiny, "trainer=fsdp", *overrides)
    assert message in str(error.value)


def test_a_pretraining_is_refused(compose_pretrain, tiny):
    words = [word for word in tiny if word != "evidence=off"]
    with pytest.raises(UserError, match=r"trainer=fsdp is for skinlab.train: use trainer=ddp"):
        compose_pretrain(*words, "ssl=simclr", "trainer=fsdp")


def test_the_strategy_follows_from_the_setting_but_float16_is_refused(compose_train, tiny):
    words = [*(word for word in tiny if not word.startswith("trainer.precision")), "trainer=fsdp"]
    words.append("trainer.accelerator=cpu")
    arguments = trainer_arguments(compose_train(*words).trainer, torch.nn.Linear(2, 2))
    assert isinstance(arguments["strategy"], FullyShardedStrategy)
    with pytest.raises(UserError, match=r"no loss scaling for 16-mixed: set trainer.precision=32-true"):
        trainer_arguments(compose_train(*words, "trainer.precision=16-mixed").trainer, torch.nn.Linear(2, 2))
