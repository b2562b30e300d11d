import copy
import itertools

import pytest
import pytorch_lightning as pl
import torch

from skinlab.errors import UserError
from skinlab.models.backbone import build_network, head_parameters
from skinlab.models.classifier import Classifier
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


def stepped(network, *, steps, state=None, **settings):
    """Step with the same gradients; return the weights and the optimiser's state."""
    network, rng = copy.deepcopy(network), torch.Generator().manual_seed(steps)
    optimizer = build_optimizer(network, ADAMW | settings)
    if state is not None:
        optimizer.load_state_dict(copy.deepcopy(state))
    for _ in range(steps):
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=rng)
        optimizer.step()
    return torch.cat([each.detach().flatten() for each in network.parameters()]), optimizer.state_dict()


def test_adamw_is_fused_and_gives_the_same_weights_each_time(network):
    weights, state = stepped(network, steps=3)
    assert {group["fused"] for group in state["param_groups"]} == {True}
    assert torch.equal(stepped(network, steps=3)[0], weights)
    torch.testing.assert_close(stepped(network, steps=3, fused=False)[0], weights, rtol=0, atol=1e-6)


def test_a_checkpoint_of_adamw_that_was_not_fused_goes_on_as_it_was(network):
    _, state = stepped(network, steps=2, fused=None)
    before = stepped(network, steps=2, state=state, fused=None)[0]
    assert torch.equal(stepped(network, steps=2, state=state)[0], before)


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_gradients_are_clipped_before_a_fused_step_in_any_precision(save_classifier, tmp_path, precision):
    """Adam's first step has the size of the learning rate, unless the clipped gradient is near its epsilon."""
    classifier = Classifier.load_from_checkpoint(save_classifier(tmp_path / "m.ckpt", ["a", "b"]), map_location="cpu")
    before = classifier.network.fc.weight.detach().clone()
    batch = {"image": torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8), "target": torch.tensor([0, 1, 1, 0])}
    trainer = pl.Trainer(
        accelerator="cpu",
        precision=precision,
        max_steps=1,
        gradient_clip_val=1e-9,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(classifier, torch.utils.data.DataLoader([batch], batch_size=None))
    assert all(group["fused"] for group in trainer.optimizers[0].param_groups)
    moved = (classifier.network.fc.weight - before).abs().max()
    assert 0 < moved < 1e-3 / 5


def test_a_fused_step_leaves_scaled_gradients_to_the_scaler(network):
    """As Lightning does in float16: unscale, clip, step."""
    moved = []
    for scale in (1.0, 1024.0):
        scaler, copied = torch.amp.GradScaler("cpu", init_scale=scale), copy.deepcopy(network).eval()
        optimizer = build_optimizer(copied, ADAMW)
        scaler.scale(copied(torch.ones(2, 3, 32, 32)).square().mean()).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(copied.parameters(), 1e-6)
        scaler.step(optimizer)
        moved.append(torch.cat([each.detach().flatten() for each in copied.parameters()]))
    assert not torch.equal(moved[0], torch.cat([each.detach().flatten() for each in network.parameters()]))
    torch.testing.assert_close(moved[1], moved[0], rtol=0, atol=1e-6)


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
