"""Corruptions keep shape and type, grow with the severity, and repeat with the same random numbers."""

import numpy as np
import pytest

from skinlab.alterations.corruptions import ALL, CORRUPTIONS, SEVERITIES, Image, brightness, motion_blur, pixelate


@pytest.fixture(scope="module")
def image() -> Image:
    """A smooth disc on skin with some texture, 224 px."""
    y, x = np.mgrid[-1:1:224j, -1:1:224j]
    disc = np.clip(1.5 - 3 * np.hypot(x, y), 0, 1)[..., None]
    light = np.array([0.85, 0.6, 0.55]) * (1 - disc) + np.array([0.35, 0.2, 0.15]) * disc
    texture = np.random.default_rng(0).normal(0, 0.02, (224, 224, 1))
    return (np.clip(light + texture, 0, 1) * 255).astype(np.uint8)


def test_the_registry_has_fifteen():
    assert len(CORRUPTIONS) == 15
    assert all(len(each.parameters) == len(SEVERITIES) for each in ALL.values())


@pytest.mark.parametrize("name", ALL)
def test_severities_change_more_and_more(image: Image, name: str):
    found = [ALL[name](image, severity, np.random.default_rng(1)) for severity in SEVERITIES]
    assert all(each.shape == image.shape and each.dtype == np.uint8 for each in found)
    change = [float(np.abs(each.astype(float) - image).mean()) for each in found]
    assert change[0] > 0
    assert change[-1] > change[0]
    again = ALL[name](image, 3, np.random.default_rng(1))
    assert (again == found[2]).all()


def test_parameters_without_effect_leave_the_image(image: Image):
    rng = np.random.default_rng(0)
    assert (pixelate(image, 1.0, rng) == image).all()
    assert (brightness(image, 1.0, rng) == image).all()
    assert (motion_blur(image, (1e-9, 1e-3), rng) == image).all()


def test_lengths_scale_with_the_image(image: Image):
    """A blur of twice the image is the blur of the image, twice as large."""
    import cv2

    large = np.asarray(cv2.resize(image, (448, 448), interpolation=cv2.INTER_CUBIC), np.uint8)
    ours = ALL["defocus_blur"](image, 5, np.random.default_rng(0)).astype(float)
    theirs = cv2.resize(ALL["defocus_blur"](large, 5, np.random.default_rng(0)), (224, 224), interpolation=3)
    assert np.abs(ours - theirs).mean() < 1.5
