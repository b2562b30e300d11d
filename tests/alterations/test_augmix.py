import numpy as np
import pytest

from skinlab.alterations import augmix as module
from skinlab.alterations.augmix import ALTERATIONS, augmix, autocontrast, posterise, rotate, shear, translate


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (33, 33, 3), dtype=np.uint8)


def test_without_alterations_the_mixture_is_the_image(image, monkeypatch):
    monkeypatch.setattr(module, "ALTERATIONS", (lambda image, strength, rng: image,))
    for seed in range(5):
        np.testing.assert_allclose(augmix(image, np.random.default_rng(seed)), image, atol=1)


def test_the_generator_decides(image):
    first, again, other = (augmix(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("alteration", ALTERATIONS, ids=lambda each: each.__name__)
def test_alterations_keep_shape_and_a_white_image(alteration, image):
    image = image // 2 + 40
    out = alteration(image, 0.3, np.random.default_rng(0))
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert (out != image).any()
    white = np.full_like(image, 255)
    assert (alteration(white, 0.1, np.random.default_rng(0)) >= 252).all()


def test_autocontrast_reaches_both_ends():
    out = autocontrast(np.array([[[50, 7, 0], [100, 7, 255]]], np.uint8), 0.0, np.random.default_rng(0))
    assert out.tolist() == [[[0, 7, 0], [255, 7, 255]]]


def test_posterise_keeps_seven_to_four_bits(image):
    rng = np.random.default_rng(0)
    assert [len(np.unique(posterise(image, strength, rng))) for strength in (0.0, 1.0)] == [128, 16]


@pytest.mark.parametrize("alteration", [rotate, shear, translate])
def test_geometry_is_about_the_centre_and_none_at_strength_zero(alteration, image):
    np.testing.assert_array_equal(alteration(image, 0.0, np.random.default_rng(0)), image)
    if alteration is not translate:
        np.testing.assert_array_equal(alteration(image, 1.0, np.random.default_rng(0))[16, 16], image[16, 16])
