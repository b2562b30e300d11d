"""What holds for every loss of conf/loss, which is all that a new one needs to be tested here."""

import pytest
import torch

from skinlab.errors import UserError
from skinlab.losses.group_dro import GroupDRO
from skinlab.settings.part import Part, build, check_parts
from tests.choices import choices, read_choice

COUNTS = [40, 9, 3]
# Settings other than the defaults that take another path.
VARIANTS = {
    "ce": {"label_smoothing": 0.1},
    "weighted_ce": {"label_smoothing": 0.1},
    "focal": {"gamma": 0.5, "alpha": [0.2, 0.3, 0.5]},
    "class_balanced": {"gamma": 2},
    "logit_adjusted": {"tau": 1.5},
    "ldam": {"drw_start": 0},
    "asymmetric": {"gamma_pos": 1.0},
}


def loss_of(name, counts=COUNTS, **settings):
    return build(read_choice("loss", name) | settings, class_counts=counts)


LOSSES = {name: loss_of(name) for name in choices("loss")}
LOSSES |= {f"{name}_variant": loss_of(name, **settings) for name, settings in VARIANTS.items()}
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
def test_a_right_class_has_a_lower_loss_than_a_wrong_one(loss):
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
def test_a_checkpoint_holds_only_what_is_learned(loss):
    assert set(loss.state_dict()) == ({"weight"} if isinstance(loss, GroupDRO) else set())  # which is learned
    assert not list(loss.parameters())


def refusal(name, counts):
    try:
        loss_of(name, counts)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", choices("loss"))
def test_every_loss_is_built_without_class_counts_or_refuses_in_one_line(name):
    if refusal(name, None):
        remedy = "add labels or set loss.class_counts=[...]"
        assert refusal(name, None) == f"loss={name} needs class counts and got none: {remedy}"
        assert "got those of one class" in refusal(name, [5])
        assert "[5, 0] has a class without training images" in refusal(name, [5, 0])


def checked_loss(name, setting):
    """Build a loss as a command does, after a check of its settings."""
    check_parts({"loss": Part.model_validate(read_choice("loss", name) | setting)})
    return loss_of(name, **setting)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("ce", {"label_smoothing": 1.0}),
        ("weighted_ce", {"label_smoothing": -0.1}),
        ("focal", {"gamma": -1.0}),
        ("focal", {"alpha": [1.0, 2.0]}),
        ("class_balanced", {"beta": 1.0}),
        ("ldam", {"drw_start": 1.5}),
        ("asymmetric", {"gamma_neg": -1.0}),
    ],
)
def test_a_setting_out_of_range_is_refused(name, setting):
    with pytest.raises(UserError, match=rf"loss\.{next(iter(setting))}"):
        checked_loss(name, setting)
