import numpy as np
import pytest
import torch

from skinlab.models.mixing import mix_batch


def batch() -> torch.Tensor:
    """Images that are their own number everywhere."""
    return torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 16, 16).clone()


@pytest.mark.parametrize("settings", [{"mixup": 0.4, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}])
@pytest.mark.parametrize("seed", range(5))
def test_share_and_partner_are_those_of_the_pixels(settings, seed):
    images = batch()
    mixed, partner, lam = mix_batch(images, rng=np.random.default_rng(seed), **settings)
    expected = lam * torch.arange(8.0) + (1 - lam) * partner.float()
    assert torch.allclose(mixed.mean((1, 2, 3)), expected, atol=1e-5)
    assert sorted(partner.tolist()) == list(range(8))
    assert torch.equal(images, batch()), "the batch itself stays as it is"


def test_both_are_used_when_both_are_on():
    kinds = set()
    for seed in range(20):
        mixed, partner, lam = mix_batch(batch(), mixup=1.0, cutmix=1.0, rng=np.random.default_rng(seed))
        if 0.05 < lam < 0.95 and partner[0] != 0:
            kinds.add(len(mixed[0].unique()))
    assert kinds == {1, 2}


def test_same_generator_same_batch():
    a, b = (mix_batch(batch(), mixup=0.4, cutmix=1.0, rng=np.random.default_rng(3))[0] for _ in range(2))
    assert torch.equal(a, b)
