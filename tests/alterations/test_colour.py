import numpy as np
import pytest

from skinlab.alterations.colour import shades_of_gray


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(20, 180, (16, 16, 3), dtype=np.uint8)


def test_the_light_of_the_result_is_grey(image):
    image[..., 2] //= 2
    light = ((shades_of_gray(image) / 255) ** 6).mean((0, 1)) ** (1 / 6)
    assert np.ptp(light) < 0.01


def test_the_colour_of_the_light_is_removed(image):
    image[:] = image[..., :1]
    lit = (image * np.array([1.2, 1.0, 0.7])).astype(np.uint8)
    gap = np.ptp(shades_of_gray(lit).astype(int), axis=2)
    assert gap.max() <= 3


def test_a_grey_image_stays(image):
    image[:] = image[..., :1]
    np.testing.assert_array_equal(shades_of_gray(image), image)


def test_dark_corners_change_nothing(image):
    image[:4] = 0
    whole, part = shades_of_gray(image), shades_of_gray(np.ascontiguousarray(image[4:]))
    np.testing.assert_array_equal(whole[4:], part)


@pytest.mark.parametrize("value", [(0, 0, 0), (200, 0, 0), (255, 255, 255)])
def test_extreme_images_stay_in_range(value):
    flat = np.full((4, 4, 3), value, np.uint8)
    assert (shades_of_gray(flat)[flat == 0] == 0).all()
    assert np.isfinite(shades_of_gray(flat)).all()
