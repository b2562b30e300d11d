"""What holds for every loss."""

import pytest
import torch

from skinlab.errors import UserError
from skinlab.losses.asymmetric import Asymmetric
from skinlab.losses.class_balanced import ClassBalanced
from skinlab.losses.cross_entropy import CrossEntropy, WeightedCrossEntropy
from skinlab.losses.focal import Focal
from skinlab.losses.ldam import LDAM
from skinlab.losses.logit_adjustment import BalancedSoftmax, LogitAdjusted

COUNTS = [40, 9, 3]
LOSSES = {
    "ce": CrossEntropy(COUNTS),
    "ce_smooth": CrossEntropy(COUNTS, label_smoothing=0.1),
    "weighted_ce": WeightedCrossEntropy(COUNTS, label_smoothing=0.1),
    "focal": Focal(COUNTS),
    "focal_alpha": Focal(COUNTS, gamma=0.5, alpha=[0.2, 0.3, 0.5]),
    "class_balanced": ClassBalanced(COUNTS),
    "class_balanced_focal": ClassBalanced(COUNTS, gamma=2),
    "balanced_softmax": BalancedSoftmax(COUNTS),
    "logit_adjusted": LogitAdjusted(COUNTS, tau=1.5),
    "ldam": LDAM(COUNTS),
    "ldam_drw": LDAM(COUNTS, drw_start=0),
    "asymmetric": Asymmetric(COUNTS, gamma_pos=1.0),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def batch(n=8, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n, 3, generator=generator, dtype=dtype)
    return logits.requires_grad_(), torch.arange(n) % 3


@every_loss
def test_the_gradient_is_right(loss):
    logits, target = batch()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits)


@every_loss
def test_the_loss_of_a_batch_is_the_mean_of_its_images(loss):
    logits, target = batch()
    singles = [loss(logits[i : i + 1], target[i : i + 1]) for i in range(len(target))]
    torch.testing.assert_close(loss(logits, target), torch.stack(singles).mean())


@every_loss
def test_a_right_answer_costs_less_than_a_wrong_one(loss):
    right = 4 * torch.eye(3)
    target = torch.arange(3)
    assert 0 <= loss(right, target) < loss(right.roll(1, 0), target)


@every_loss
def test_bfloat16_logits_are_computed_in_float32(loss):
    logits, target = batch(dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits.float(), target))
    value.backward()
    assert logits.grad.dtype == torch.bfloat16


@every_loss
@pytest.mark.parametrize("size", [30.0, 1e4, 1e30])
def test_extreme_logits_stay_finite(loss, size):
    logits = (size * torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 0]])).requires_grad_()
    value = loss(logits, torch.tensor([0, 0, 2]))
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@every_loss
def test_a_checkpoint_holds_none_of_it(loss):
    assert not loss.state_dict()
    assert not list(loss.parameters())


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (WeightedCrossEntropy, "weighted_ce"),
        (ClassBalanced, "class_balanced"),
        (BalancedSoftmax, "balanced_softmax"),
        (LogitAdjusted, "logit_adjusted"),
        (LDAM, "ldam"),
    ],
)
def test_counts_are_asked_for(build, name):
    remedy = r"add labels or set loss\.class_counts=\[\.\.\.\]"
    with pytest.raises(UserError, match=f"loss={name} needs class counts and got none: {remedy}"):
        build()
    with pytest.raises(UserError, match="got those of one class"):
        build([5])
    with pytest.raises(UserError, match=r"\[5, 0\] has a class without training images"):
        build([5, 0])


@pytest.mark.parametrize(
    ("build", "setting"),
    [
        (CrossEntropy, {"label_smoothing": 1.0}),
        (WeightedCrossEntropy, {"label_smoothing": -0.1}),
        (Focal, {"gamma": -1.0}),
        (Focal, {"alpha": [1.0, 2.0]}),
        (ClassBalanced, {"beta": 1.0}),
        (LDAM, {"drw_start": 1.5}),
        (Asymmetric, {"gamma_neg": -1.0}),
    ],
)
def test_a_setting_out_of_range_is_refused(build, setting):
    with pytest.raises(UserError, match=rf"loss\.{next(iter(setting))}"):
        build(COUNTS, **setting)
