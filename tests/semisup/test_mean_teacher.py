"""Mean Teacher: decay 0 is the student, decay 1 the plain mean of all students."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from skinlab.semisup.mean_teacher import MeanTeacher


def move(network: nn.Module, seed: int) -> None:
    """Change all weights and statistics, as a step would."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(torch.rand(value.shape, generator=draw) if value.is_floating_point() else 1)


def attached(network: nn.Module, **settings: float) -> MeanTeacher:
    strategy = MeanTeacher(**settings)
    strategy.attach(network)
    return strategy.train()


def test_with_decay_0_the_teacher_is_the_student(network):
    strategy = attached(network, decay=0.0)
    for seed in range(3):
        move(network, seed)
        strategy.after_step(network)
        for name, value in network.state_dict().items():
            assert torch.equal(strategy.teacher.state_dict()[name], value), name


def test_with_decay_1_it_is_the_mean_of_all_students(network):
    strategy, students = attached(network, decay=1.0), []
    for seed in range(4):
        move(network, seed)
        strategy.after_step(network)
        students.append({name: value.clone().double() for name, value in network.state_dict().items()})
    for name in ("0.weight", "1.running_var"):
        mean = torch.stack([student[name] for student in students]).mean(0)
        torch.testing.assert_close(strategy.teacher.state_dict()[name].double(), mean, rtol=1e-5, atol=1e-5)


def test_decay_takes_over_after_its_time(network):
    strategy, wanted = attached(network, decay=0.75), np.zeros(())
    for n in range(1, 9):
        move(network, n)
        strategy.after_step(network)
        student = float(network[0].bias.detach()[0])
        wanted = wanted + max(1 / n, 0.25) * (student - wanted)
    assert float(strategy.teacher[0].bias[0]) == pytest.approx(float(wanted), rel=1e-5)


def test_loss_is_its_formula(network, batch, step, probabilities):
    strategy = attached(network, weight=10.0, ramp_share=0.5)
    move(strategy.teacher, 7)
    with torch.no_grad():
        taught = strategy.teacher.eval()(batch["pool"]["weak"]).double().softmax(1).numpy()
    learned = probabilities(batch["pool"]["strong"])
    _, pool = step(strategy, network, batch, progress=0.25)
    wanted = 10 * math.exp(-5 * 0.5**2) * ((learned - taught) ** 2).mean()
    assert pool.item() == pytest.approx(wanted, rel=1e-4)
    assert strategy.pseudo_labels.label.tolist() == taught.argmax(1).tolist()


def test_the_teacher_learns_nothing_and_keeps_its_statistics(network, batch, step):
    strategy = attached(network)
    before = {name: value.clone() for name, value in strategy.teacher.state_dict().items()}
    sum(step(strategy, network, batch)).backward()
    assert all(p.grad is None for p in strategy.teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in strategy.teacher.state_dict().items())
    strategy.start(network)
    assert torch.equal(strategy.teacher[1].running_mean, network[1].running_mean)
