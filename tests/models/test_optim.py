import itertools

import pytest
import torch

from skinlab.errors import UserError
from skinlab.models.backbone import build_network, head_parameters
from skinlab.models.optim import build_optimizer, schedule_factor

ADAMW = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05}


@pytest.fixture(scope="module")
def network():
    return build_network("resnet18", 3)


def test_biases_and_norms_are_not_decayed(network):
    optimizer = build_optimizer(network, ADAMW)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] == 0) == (parameter.ndim <= 1)
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(network.parameters()))


def test_layer_decay_slows_the_early_layers(network):
    optimizer = build_optimizer(network, ADAMW | {"layer_decay": 0.5})
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    named = dict(network.named_parameters())
    head = next(iter(head_parameters(network)))
    assert rate[id(named[head])] == pytest.approx(1e-3)
    assert rate[id(named["conv1.weight"])] < rate[id(named["layer3.0.conv1.weight"])] < 1e-3


def test_no_layer_decay_is_one_rate(network):
    assert {group["lr"] for group in build_optimizer(network, ADAMW).param_groups} == {1e-3}


def test_sgd(network):
    optimizer = build_optimizer(network, {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0})
    assert type(optimizer).__name__ == "SGD"
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_lars_scales_weights_and_leaves_biases_alone():
    """One step from rest, against You et al.'s formula; norms and biases move as with SGD."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    settings = {"name": "lars", "lr": 0.5, "momentum": 0.9, "weight_decay": 0.1, "trust_coeff": 0.01}
    optimizer = build_optimizer(network, settings)
    network(torch.randn(8, 4)).square().mul(torch.rand(8, 3)).sum().backward()
    before = {name: (p.detach().clone(), p.grad.clone()) for name, p in network.named_parameters()}
    optimizer.step()
    for name, parameter in network.named_parameters():
        weight, gradient = before[name]
        if weight.ndim > 1:
            norms = gradient.norm() + 0.1 * weight.norm()
            gradient = (gradient + 0.1 * weight) * 0.01 * weight.norm() / norms
        torch.testing.assert_close(parameter.detach(), weight - 0.5 * gradient, msg=name)


def test_the_learning_rate_grows_with_the_batch(network):
    settings = ADAMW | {"lr_reference_batch": 256}
    optimizer = build_optimizer(network, settings, batch_size=1024)
    assert {group["lr"] for group in optimizer.param_groups} == {4e-3}
    with pytest.raises(UserError, match="lr_reference_batch"):
        build_optimizer(network, settings)


@pytest.mark.parametrize("wrong", [{"name": "adamv"}, {"lrr": 1.0}])
def test_wrong_settings_are_refused(network, wrong):
    with pytest.raises(UserError, match="optimizer"):
        build_optimizer(network, ADAMW | wrong)


def test_schedule_warms_up_and_falls_to_its_floor():
    settings = {"name": "cosine", "total_steps": 100, "warmup_steps": 10, "min_ratio": 0.1}
    factors = [schedule_factor(step, **settings) for step in range(101)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(factors) == 1
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))
    assert factors[-1] == pytest.approx(0.1)


def test_constant_stays():
    settings = {"name": "constant", "total_steps": 5, "warmup_steps": 0, "min_ratio": 1.0}
    assert {schedule_factor(step, **settings) for step in range(6)} == {1.0}
