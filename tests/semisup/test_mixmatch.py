"""MixMatch: no mixing and no sharpening are cross-entropy and squared error; soft targets for every loss."""

import numpy as np
import pytest
import torch
from torch import nn

from skinlab.errors import UserError
from skinlab.losses.asymmetric import Asymmetric
from skinlab.losses.class_balanced import ClassBalanced
from skinlab.losses.cross_entropy import CrossEntropy, WeightedCrossEntropy
from skinlab.losses.focal import Focal
from skinlab.losses.ldam import LDAM
from skinlab.losses.logit_adjustment import BalancedSoftmax, LogitAdjusted
from skinlab.semisup.mixmatch import MixMatch, draw_shares, sharpen, soft_target_loss
from skinlab.settings.part import Part, check_parts

PRIOR = [0.6, 0.3, 0.1]
LOSSES = [
    Asymmetric,
    ClassBalanced,
    CrossEntropy,
    WeightedCrossEntropy,
    Focal,
    LDAM,
    BalancedSoftmax,
    LogitAdjusted,
]


def test_sharpening_at_temperature_one_is_the_identity():
    some = torch.softmax(torch.randn(20, 3), 1)
    torch.testing.assert_close(sharpen(some, 1.0), some)
    wanted = some.numpy() ** 4
    np.testing.assert_allclose(sharpen(some, 0.25), wanted / wanted.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_soft_targets_that_are_sure_are_hard_ones(loss):
    criterion = loss(class_counts=[60, 30, 10])
    logits, target = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 0, 1])
    sure = nn.functional.one_hot(target, 3).float()
    torch.testing.assert_close(soft_target_loss(criterion, logits, sure), criterion(logits, target))


def test_soft_cross_entropy_is_torch_s():
    logits, target = torch.randn(6, 3), torch.softmax(torch.randn(6, 3), 1)
    found = soft_target_loss(CrossEntropy(), logits, target)
    torch.testing.assert_close(found, nn.functional.cross_entropy(logits, target))


def test_the_first_image_has_the_larger_share_as_beta_draws_it():
    share = draw_shares(1000, 0.75, np.random.default_rng(3)).numpy()
    drawn = np.random.default_rng(3).beta(0.75, 0.75, size=1000)
    np.testing.assert_allclose(share, np.maximum(drawn, 1 - drawn), rtol=1e-6)


def test_without_mixing_it_is_cross_entropy_and_squared_error(network, batch, step, probabilities):
    guess = (probabilities(batch["pool"]["weak"]) + probabilities(batch["pool"]["strong"])) / 2
    both = probabilities(torch.cat([batch["pool"]["weak"], batch["pool"]["strong"]]))
    labelled = -np.log(probabilities(batch["image"])[np.arange(4), batch["target"]]).mean()
    strategy = MixMatch(PRIOR, alpha=0.0, temperature=1.0, alignment=False, weight=10.0)
    supervised, pool = step(strategy, network, batch)
    assert supervised.item() == pytest.approx(labelled, rel=1e-4)
    assert pool.item() == pytest.approx(10 * ((both - np.concatenate([guess, guess])) ** 2).mean(), rel=1e-4)
    assert strategy.pseudo_labels.label.tolist() == guess.argmax(1).tolist()
    assert strategy.pseudo_labels.accepted.all()


def test_mixtures_are_those_of_the_formula(network, batch, step, probabilities):
    views = [batch["pool"][view] for view in ("weak", "strong")]
    mean = sum(probabilities(view) for view in views) / 2
    guess = mean**2 / (mean**2).sum(1, keepdims=True)
    rng = np.random.default_rng(5)
    partner, drawn = rng.permutation(20), rng.beta(0.75, 0.75, size=20)
    share = np.maximum(drawn, 1 - drawn)[:, None]
    targets = np.concatenate([np.eye(3)[batch["target"]], guess, guess])
    targets = share * targets + (1 - share) * targets[partner]
    images = torch.cat([batch["image"], *views])
    weight = torch.from_numpy(share).float()[..., None, None]
    images = weight * images + (1 - weight) * images[partner]
    labelled = -(targets[:4] * np.log(probabilities(images[:4]))).sum(1).mean()
    unlabelled = ((targets[4:] - probabilities(images[4:])) ** 2).mean()
    supervised, pool = step(MixMatch(PRIOR, alignment=False, weight=1.0), network, batch, seed=5)
    assert supervised.item() == pytest.approx(labelled, rel=1e-4)
    assert pool.item() == pytest.approx(unlabelled, rel=1e-3)


def test_guesses_get_no_gradient_but_all_weights_do_under_autocast(network, batch, step):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        supervised, pool = step(MixMatch(PRIOR, ramp_share=0.0), network, batch)
    (supervised + pool).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network[0].parameters() if p.dim() > 1)
    assert network[-1].weight.grad.abs().sum() > 0


def test_statistics_are_those_of_the_labelled_images(network, batch, step):
    step(MixMatch(PRIOR, alpha=0.0), network, batch)
    features = network[0](batch["image"])
    torch.testing.assert_close(network[1].running_mean, 0.1 * features.mean((0, 2, 3)))
    assert int(network[1].num_batches_tracked) == 1


def test_mistakes_are_refused():
    with pytest.raises(UserError, match=r"semi\.temperature=0"):
        check_parts(
            {"semi": Part.model_validate({"_target_": "skinlab.semisup.mixmatch.MixMatch", "temperature": 0.0})}
        )
