"""What one loss becomes in another's limit, and what reference libraries make of it."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torchvision.ops import sigmoid_focal_loss

from skinlab.losses.asymmetric import asymmetric_loss
from skinlab.losses.class_balanced import ClassBalanced, effective_number_weights
from skinlab.losses.cross_entropy import (
    CrossEntropy,
    WeightedCrossEntropy,
    cross_entropy_loss,
    inverse_frequency_weights,
)
from skinlab.losses.focal import focal_loss
from skinlab.losses.ldam import LDAM, ldam_loss, ldam_margins
from skinlab.losses.logit_adjustment import BalancedSoftmax, LogitAdjusted, balanced_softmax_loss, logit_adjusted_loss

COUNTS = torch.tensor([40.0, 9.0, 3.0], dtype=torch.float64)


@pytest.fixture
def logits():
    return 2 * torch.randn(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def target():
    return torch.arange(12) % 3


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(),
        WeightedCrossEntropy([7, 7, 7]),
        WeightedCrossEntropy([40, 9, 3], power=0),
        ClassBalanced([7, 7, 7]),
        ClassBalanced([40, 9, 3], beta=0),
        BalancedSoftmax([7, 7, 7]),
        LogitAdjusted([7, 7, 7]),
        LogitAdjusted([40, 9, 3], tau=0),
        LDAM([40, 9, 3], scale=0, drw_start=1),
        LDAM([7, 7, 7], max_margin=0, drw_start=0),
    ],
)
def test_even_counts_or_no_strength_are_cross_entropy(loss, logits, target):
    torch.testing.assert_close(loss(logits, target), F.cross_entropy(logits, target))


def test_label_smoothing_is_pytorchs(logits, target):
    ours = cross_entropy_loss(logits, target, label_smoothing=0.2)
    torch.testing.assert_close(ours, F.cross_entropy(logits, target, label_smoothing=0.2, reduction="none"))


def test_class_weights_are_pytorchs_but_averaged_over_images(logits, target):
    weight = inverse_frequency_weights(COUNTS)
    ours = cross_entropy_loss(logits, target, weight=weight)
    torch.testing.assert_close(ours, F.cross_entropy(logits, target, weight=weight, reduction="none"))
    torch.testing.assert_close(WeightedCrossEntropy([40, 9, 3])(logits, target), ours.mean(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_inverse_frequency_weighs_the_training_set_one_on_average(power):
    weights = inverse_frequency_weights(COUNTS, power)
    assert (weights * COUNTS).sum() / COUNTS.sum() == pytest.approx(1)
    assert weights[2] / weights[0] == pytest.approx((40 / 3) ** power)


def test_effective_numbers_run_from_even_to_inverse_frequency():
    torch.testing.assert_close(effective_number_weights(COUNTS, 0.0), torch.ones(3, dtype=torch.float64))
    almost_one = effective_number_weights(COUNTS, 1 - 1e-10)
    torch.testing.assert_close(almost_one / almost_one[0], COUNTS[0] / COUNTS, rtol=1e-6, atol=0)
    weights = effective_number_weights(COUNTS, 0.9)
    torch.testing.assert_close(weights / weights[0], (1 - 0.9**40) / (1 - 0.9**COUNTS))
    assert weights.sum() == pytest.approx(3)


def test_focal_without_focus_is_cross_entropy_and_with_it_smaller(logits, target):
    torch.testing.assert_close(focal_loss(logits, target, gamma=0), F.cross_entropy(logits, target, reduction="none"))
    focused = focal_loss(logits, target, gamma=2)
    assert (focused < F.cross_entropy(logits, target, reduction="none")).all()


@pytest.mark.parametrize(("gamma", "alpha"), [(0.0, -1.0), (2.0, -1.0), (2.0, 0.25), (0.5, 0.9)])
def test_focal_of_two_classes_is_torchvisions(gamma, alpha):
    score = torch.linspace(-6, 6, 9, dtype=torch.float64)
    target = torch.arange(9) % 2
    weights = None if alpha < 0 else torch.tensor([1 - alpha, alpha], dtype=torch.float64)
    ours = focal_loss(torch.stack([0 * score, score], 1), target, gamma=gamma, alpha=weights)
    torch.testing.assert_close(ours, sigmoid_focal_loss(score, target.double(), alpha=alpha, gamma=gamma))


def test_class_balanced_is_focal_with_its_weights(logits, target):
    weights = effective_number_weights(COUNTS)
    torch.testing.assert_close(
        ClassBalanced([40, 9, 3], gamma=2)(logits, target),
        focal_loss(logits, target, gamma=2, alpha=weights).mean(),
        rtol=1e-6,
        atol=0,
    )


def test_balanced_softmax_is_its_papers_formula_and_logit_adjustment(logits, target):
    shares = COUNTS * logits.exp()
    expected = -(shares / shares.sum(1, keepdim=True)).log()[torch.arange(12), target]
    torch.testing.assert_close(balanced_softmax_loss(logits, target, COUNTS), expected)
    torch.testing.assert_close(logit_adjusted_loss(logits, target, COUNTS), expected)


def test_logit_adjustment_undoes_the_prior(logits, target):
    """Logits that carry the prior of the training set twice lose it once."""
    log_prior = (COUNTS / COUNTS.sum()).log()
    torch.testing.assert_close(
        logit_adjusted_loss(logits - log_prior, target, COUNTS), cross_entropy_loss(logits, target)
    )


def test_ldam_margins_fall_with_the_fourth_root():
    margins = ldam_margins(torch.tensor([81.0, 16.0, 1.0]), max_margin=0.6)
    torch.testing.assert_close(margins, torch.tensor([0.2, 0.3, 0.6]))


def test_ldam_is_its_papers_formula_for_a_cosine_head(target):
    cosine = torch.rand(12, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2 - 1
    margins = ldam_margins(COUNTS)
    lowered = cosine.clone()
    lowered[torch.arange(12), target] -= margins[target]
    expected = F.cross_entropy(30 * lowered, target, reduction="none")
    torch.testing.assert_close(ldam_loss(30 * cosine, target, margins, scale=30), expected)


def test_ldam_weighs_classes_late_and_only_in_training(logits, target):
    loss = LDAM([40, 9, 3], drw_start=0.8)
    early = loss(logits, target)
    loss.set_epoch(7, 10)
    torch.testing.assert_close(loss(logits, target), early)
    loss.set_epoch(8, 10)
    late = loss(logits, target)
    weighted = ldam_loss(logits, target, loss.margins, scale=loss.scale, weight=effective_number_weights(COUNTS))
    torch.testing.assert_close(late, weighted.mean(), rtol=1e-6, atol=0)
    assert late != early
    torch.testing.assert_close(loss.eval()(logits, target), early)
    loss.train().set_epoch(0, 10)
    torch.testing.assert_close(loss(logits, target), early)
    loss.set_epoch(9, None)
    torch.testing.assert_close(loss(logits, target), early)


def test_asymmetric_without_smoothing_is_focal(logits, target):
    ours = asymmetric_loss(logits, target, gamma_pos=2, gamma_neg=4, label_smoothing=0)
    torch.testing.assert_close(ours, focal_loss(logits, target, gamma=2))


def test_asymmetric_without_focus_is_smoothed_cross_entropy(logits, target):
    ours = asymmetric_loss(logits, target, gamma_pos=0, gamma_neg=0, label_smoothing=0.1)
    torch.testing.assert_close(ours, F.cross_entropy(logits, target, label_smoothing=0.1, reduction="none"))


def test_asymmetric_by_hand():
    p = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64)
    target_part = (0.7 + 0.1) * 0.5 * p[0, 0].log()
    other_parts = 2 * 0.1 * 0.25**3 * p[0, 1].log()
    ours = asymmetric_loss(p.log(), torch.tensor([0]), gamma_pos=1, gamma_neg=3, label_smoothing=0.3)
    torch.testing.assert_close(ours, -(target_part + other_parts)[None])
