"""FixMatch: nothing accepted is nothing changed; else its formula."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from skinlab.errors import UserError
from skinlab.semisup.batch_norm import keep_running_statistics
from skinlab.semisup.fixmatch import FixMatch, pseudo_label_loss
from skinlab.settings.part import Part, check_parts

PRIOR = [0.6, 0.3, 0.1]
OPEN = {"threshold": 0.4, "least_threshold": 0.4, "alignment": False}


def gradients(network: nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters())))


def test_a_threshold_above_one_is_supervised_learning_to_the_last_bit(network, batch, step):
    alone = copy.deepcopy(network)
    loss = nn.functional.cross_entropy(alone(batch["image"]), batch["target"])
    strategy = FixMatch(PRIOR, threshold=1.01)
    total = sum(step(strategy, network, batch))
    assert not strategy.pseudo_labels.accepted.any()
    assert torch.equal(total, loss)
    for mine, theirs in zip(gradients(network, total), gradients(alone, loss), strict=True):
        assert torch.equal(mine, theirs)
    for name, value in alone.state_dict().items():  # BatchNorm's statistics, too
        assert torch.equal(network.state_dict()[name], value), name


def test_loss_is_its_formula(network, batch, step, probabilities):
    weak, strong = (probabilities(batch["pool"][view]) for view in ("weak", "strong"))
    label = weak.argmax(1)
    accepted = weak.max(1) >= 0.4
    assert 0 < accepted.sum() < 8
    wanted = np.where(accepted, -np.log(strong[np.arange(8), label]), 0).mean()
    strategy = FixMatch(PRIOR, weight=2.0, **OPEN)
    _, pool = step(strategy, network, batch)
    assert pool.item() == pytest.approx(2 * wanted, rel=1e-4)
    assert strategy.pseudo_labels.label.tolist() == label.tolist()
    assert strategy.pseudo_labels.accepted.tolist() == accepted.tolist()


def test_aligned_guesses_are_what_is_judged(network, batch, step, probabilities):
    weak = probabilities(batch["pool"]["weak"])
    wanted = weak * np.array(PRIOR) / weak.mean(0)
    strategy = FixMatch(PRIOR)
    step(strategy, network, batch)
    assert strategy.pseudo_labels.label.tolist() == wanted.argmax(1).tolist()


def test_weak_views_get_no_gradient_and_strong_ones_do(network, batch, step):
    for view in ("weak", "strong"):
        batch["pool"][view].requires_grad_()
    step(FixMatch(PRIOR, **OPEN), network, batch)[1].backward()
    assert batch["pool"]["weak"].grad is None
    assert batch["pool"]["strong"].grad.abs().sum() > 0


def test_autocast_leaves_the_gradients_of_all_parts(network, batch, step):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        supervised, pool = step(FixMatch(PRIOR, **OPEN), network, batch)
    assert all(gradient.abs().sum() > 0 for gradient in gradients(network[-1], supervised + pool))


def test_the_weight_rises(network, batch, step):
    strategy = FixMatch(PRIOR, ramp_share=0.5, **OPEN)
    first, half, full = (step(strategy, network, batch, progress=p)[1].item() for p in (0.0, 0.25, 0.5))
    assert first == 0
    assert half == pytest.approx(full / 2, rel=1e-5)


def test_a_loss_that_is_no_number_counts_only_if_accepted():
    logits = torch.tensor([[float("inf"), 0.0], [0.0, 0.0]])
    loss = pseudo_label_loss(logits, torch.tensor([1, 0]), torch.tensor([False, True]))
    assert float(loss) == pytest.approx(np.log(2) / 2)


def test_frozen_norms_keep_their_statistics(network):
    network.eval()
    images = torch.randn(4, 3, 8, 8)
    wanted = network(images)
    with keep_running_statistics(network):
        assert torch.equal(network(images), wanted)
    assert network[1].track_running_stats


def checked_fixmatch(settings):
    """Build the strategy as a command does, after a check of its settings."""
    check_parts({"semi": Part.model_validate({"_target_": "skinlab.semisup.fixmatch.FixMatch"} | settings)})
    return FixMatch(**{"prior": PRIOR} | settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 95}, "semi.threshold=95"),
        ({"threshold": 0.6}, "semi.least_threshold=0.7"),
        ({"momentum": -0.1}, "semi.momentum"),
        ({"ramp_share": 2.0}, "semi.ramp_share"),
        ({"prior": [1.0, 0.0]}, "semi.prior"),
    ],
)
def test_mistakes_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        checked_fixmatch(settings)
