"""The look of a device is found from its images, and given to others."""

import numpy as np
import pytest

from skinlab.alterations.device import Look, fit_look

LOOK = Look(np.array([0.1, 0.0, -0.15]), np.array([-0.3, -0.25, -0.2]))


@pytest.fixture
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(100, 180, (60, 1, 1, 3)).astype(np.uint8) * np.ones((1, 48, 48, 1), np.uint8)


def skin(n: int, radius: int = 0) -> np.ndarray:
    """Return where there is no lesion of a radius in pixels."""
    away = np.abs(np.arange(48) - 23.5)
    return np.broadcast_to(np.hypot(away[:, None], away) >= radius, (n, 48, 48))


def test_the_look_of_a_device_is_found_again(images):
    own = np.repeat([1.0, 0.0], 60)
    found = fit_look(np.concatenate([[LOOK.apply(image) for image in images], images]), skin(120), own, 1 - own)
    assert found.gain == pytest.approx(LOOK.gain, abs=0.01)
    assert found.fall == pytest.approx(LOOK.fall, abs=0.02)


def test_images_of_one_look_are_left_as_they_are(images):
    own = np.repeat([1.0, 0.0], 30)
    alike = np.concatenate([images[:30], images[:30]])
    assert (fit_look(alike, skin(60), own, 1 - own).apply(images[0]) == images[0]).all()


def test_larger_lesions_are_no_look(images):
    own, large = np.repeat([1.0, 0.0], 30), skin(1, 16)[0, ..., None]
    with_lesions = np.concatenate([np.where(large, images[:30], 20), images[:30]])
    where = np.concatenate([skin(30, 16), skin(30, 4)])
    found = fit_look(with_lesions.astype(np.uint8), where, own, 1 - own)
    assert (found.apply(images[0]) == images[0]).all()


def test_a_white_image_stays_in_range():
    found = Look(np.full(3, 1.0), np.zeros(3)).apply(np.full((4, 4, 3), 255, np.uint8))
    assert (found == 255).all()
