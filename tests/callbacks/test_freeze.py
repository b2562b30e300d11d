from types import SimpleNamespace

import torch

from skinlab.callbacks.freeze import FreezeBackbone
from skinlab.models.backbone import build_network, head_parameters


def test_only_the_head_moves_while_frozen_and_everything_after():
    network = build_network("resnet18", 3)
    module = SimpleNamespace(network=network)
    callback = FreezeBackbone(epochs=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for epoch in (0, 1):
        network.train()
        callback.on_train_epoch_start(SimpleNamespace(current_epoch=epoch), module)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        optimizer.zero_grad()
        network(torch.randn(4, 3, 32, 32)).square().sum().backward()
        optimizer.step()
        moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        if epoch == 0:
            assert moved == head_parameters(network)
        else:
            assert {"conv1.weight", "bn1.running_mean"} <= moved
