"""The teacher moves once an optimiser step, as the formula says."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from skinlab.selfsup.teacher import Teacher, cosine_momentum


class Shadow(pl.Callback):
    """Averages the student by hand whenever the optimiser has stepped."""

    def __init__(self, start: float, total: int):
        self.start, self.total, self.steps = start, total, 0

    def on_train_start(self, trainer, module):
        self.weights = [p.detach().clone() for p in self.student(module)]

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == self.steps:
            return
        m = 1 - (1 - self.start) * (math.cos(math.pi * self.steps / (self.total - 1)) + 1) / 2
        self.weights = [m * w + (1 - m) * p.detach() for w, p in zip(self.weights, self.student(module), strict=True)]
        self.steps += 1

    @staticmethod
    def student(module):
        return [*module.backbone.parameters(), *module.method.head.parameters()]


def test_byol_s_teacher_moves_once_an_optimiser_step(pretrainer, make_batches, fit):
    module, shadow = pretrainer("byol", momentum=0.5, lr=0.01), Shadow(start=0.5, total=3)
    fit(module, make_batches("byol", n=6), accumulate_grad_batches=2, callbacks=[shadow])
    assert shadow.steps == 3
    for mine, by_hand in zip(module.method.teacher.parameters(), shadow.weights, strict=True):
        torch.testing.assert_close(mine, by_hand)


@pytest.mark.parametrize("name", ["byol", "moco", "dino"])
def test_the_teacher_is_not_trained(pretrainer, make_batches, fit, name):
    module = pretrainer(name, momentum=1.0)
    before = [p.clone() for p in module.method.teacher.parameters()]
    trainer = fit(module, make_batches(name))
    assert all(torch.equal(old, new) for old, new in zip(before, module.method.teacher.parameters(), strict=True))
    trained = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    assert not trained & {id(p) for p in module.method.teacher.parameters()}
    assert trained == {id(p) for p in module.parameters() if p.requires_grad}


def test_dino_s_last_layer_is_frozen_for_an_epoch(pretrainer, make_batches, fit):
    module = pretrainer("dino")
    batches = make_batches("dino")
    before = module.method.head.last_layer.weight_v.detach().clone()
    fit(module, batches)
    assert torch.equal(before, module.method.head.last_layer.weight_v)
    fit(module, batches, max_epochs=2)
    assert not torch.equal(before, module.method.head.last_layer.weight_v)


def test_momentum_rises_from_its_start_to_one():
    values = [cosine_momentum(p / 10, start=0.996) for p in range(11)]
    assert values[0] == pytest.approx(0.996)
    assert values[-1] == 1
    assert values == sorted(values)


@pytest.mark.parametrize("average_buffers", [False, True])
def test_what_a_teacher_s_batch_norm_does(average_buffers):
    torch.manual_seed(0)
    backbone, head = nn.BatchNorm2d(3), nn.Flatten()
    teacher = Teacher(backbone, head, momentum=0.9, average_buffers=average_buffers).train()
    images = 5 + 2 * torch.randn(16, 3, 4, 4)
    backbone(images)
    out = teacher(images)
    if average_buffers:
        torch.testing.assert_close(out, images.flatten(1), rtol=1e-4, atol=1e-4)
        teacher.follow(backbone, head, progress=0.0)
        torch.testing.assert_close(teacher.backbone.running_mean, 0.1 * backbone.running_mean)
        assert int(teacher.backbone.num_batches_tracked) == 1
    else:
        torch.testing.assert_close(out.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
        statistics = teacher.backbone.running_mean.clone()
        teacher.follow(backbone, head, progress=0.0)
        assert torch.equal(statistics, teacher.backbone.running_mean)
