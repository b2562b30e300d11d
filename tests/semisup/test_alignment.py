"""Aligned predictions and class thresholds, against their formulas."""

import numpy as np
import pytest
import torch

from skinlab.semisup.alignment import ClassThresholds, DistributionAlignment, RunningMean, align, class_thresholds

PRIOR = torch.tensor([0.6, 0.3, 0.1])
SOME = torch.softmax(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), 1)


def test_alignment_with_equal_shares_is_the_identity():
    torch.testing.assert_close(align(SOME, PRIOR, PRIOR), SOME)


def test_alignment_is_its_formula():
    seen = np.array([0.8, 0.15, 0.05])
    wanted = SOME.numpy() * PRIOR.numpy() / seen
    aligned = align(SOME, PRIOR, torch.from_numpy(seen).float())
    np.testing.assert_allclose(aligned, wanted / wanted.sum(1, keepdims=True), rtol=1e-5)


def test_the_running_mean_is_plain_at_first_and_exponential_then():
    mean, values, wanted = RunningMean(2, momentum=0.75), np.random.default_rng(0).random((9, 2)), np.zeros(2)
    for n, value in enumerate(values, 1):
        wanted = wanted + max(1 / n, 0.25) * (value - wanted)
        np.testing.assert_allclose(mean.update(torch.from_numpy(value).float()), wanted, rtol=1e-5)
        if n <= 4:
            np.testing.assert_allclose(wanted, values[:n].mean(0))


def test_alignment_lifts_the_classes_that_a_model_forgets():
    skewed = torch.softmax(
        torch.randn(400, 3, generator=torch.Generator().manual_seed(1)) + torch.tensor([4.0, 1.0, -1.0]), 1
    )
    alignment = DistributionAlignment(PRIOR, momentum=0.99)
    for part in skewed.split(40):
        aligned = alignment(part)
    assert skewed.mean(0)[2] < 0.06
    assert abs(aligned.mean(0) - PRIOR).max() < 0.12


def test_thresholds_are_flexmatch_s_where_classes_are_even():
    counts = np.array([40, 25, 5])
    beta = counts / counts.max()
    found = class_thresholds(torch.tensor(counts / 100).float(), torch.full((3,), 1 / 3), 0.95, 0.0)
    np.testing.assert_allclose(found, 0.95 * beta / (2 - beta), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_lie_between_the_least_and_the_base(seed):
    taken = torch.rand(3, generator=torch.Generator().manual_seed(seed))
    found = class_thresholds(taken, PRIOR, 0.95, 0.7)
    assert (found <= 0.95).all()
    assert (found >= 0.7).all()
    assert found.argmax() == (taken / PRIOR).argmax()


def test_a_rare_class_that_gets_its_share_keeps_the_base_threshold():
    torch.testing.assert_close(class_thresholds(0.5 * PRIOR, PRIOR, 0.95, 0.5), torch.full((3,), 0.95))


def test_before_anything_is_taken_all_have_the_base_threshold():
    assert (class_thresholds(torch.zeros(3), PRIOR, 0.9, 0.1) == 0.9).all()


def test_thresholds_follow_what_is_taken():
    thresholds = ClassThresholds(PRIOR, 0.9, 0.5, momentum=0.99)
    confidence, label = torch.tensor([0.95, 0.92, 0.6, 0.3]), torch.tensor([0, 0, 1, 2])
    found = thresholds(confidence, label)
    torch.testing.assert_close(thresholds.taken.value, torch.tensor([0.5, 0.0, 0.0]))
    torch.testing.assert_close(found, torch.tensor([0.9, 0.9, 0.5, 0.5]))


def test_state_comes_back_but_the_prior_is_the_config_s():
    alignment = DistributionAlignment(PRIOR, 0.9)
    for part in SOME.split(10):
        alignment(part)
    assert set(alignment.state_dict()) == {"seen.value", "seen.steps"}
    other = DistributionAlignment(PRIOR, 0.9)
    other.load_state_dict(alignment.state_dict())
    assert torch.equal(other(SOME), alignment(SOME))


WORKER = """
import sys
import torch
import torch.distributed as dist
from skinlab.semisup.alignment import RunningMean

rank, folder = int(sys.argv[1]), sys.argv[2]
values = torch.rand(5, 2, 3, generator=torch.Generator().manual_seed(0))
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
mean = RunningMean(3, momentum=0.5)
for step in values:
    own = step[rank].clone()
    mean.update(own)
    assert torch.equal(own, step[rank])
dist.destroy_process_group()
whole = RunningMean(3, momentum=0.5)
for step in values:
    whole.update(step.mean(0))
torch.testing.assert_close(mean.value, whole.value)
"""


@pytest.mark.ddp
def test_two_processes_share_one_mean(run_ranks):
    run_ranks(WORKER)
