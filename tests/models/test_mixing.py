import numpy as np
import pytest
import torch

from skinlab.models.mixing import mix_amplitudes, mix_batch


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


def noise() -> torch.Tensor:
    return torch.randint(60, 200, (6, 3, 15, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_no_share_of_amplitudes_is_the_image():
    images = noise()
    mixed = mix_amplitudes(images, 0.0, np.random.default_rng(0))
    torch.testing.assert_close(mixed, images.float(), atol=1e-3, rtol=0)


def test_amplitudes_are_mixed_and_phases_kept():
    images = noise()
    mixed = mix_amplitudes(images, 0.3, np.random.default_rng(1))
    assert (mixed - images.float()).abs().mean() > 1
    before, after = (torch.fft.rfft2(each.float()) for each in (images, mixed))
    large = before.abs() > before.abs().median()
    turn = torch.angle(after * before.conj())[large].abs()
    assert turn.median() < 1e-3, "clamping alone turns a phase"


def test_the_mean_colour_lies_between_those_of_the_two_images():
    images = torch.tensor([50.0, 150.0]).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    swapped = next(seed for seed in range(20) if np.random.default_rng(seed).permutation(2)[0] == 1)
    mixed = mix_amplitudes(images, 1.0, np.random.default_rng(swapped)).mean((1, 2, 3))
    assert 50 < mixed[0] < 150
    assert 50 < mixed[1] < 150
