"""Drawn artefacts keep shape and type, grow with the dose, repeat, and are where and what they should be."""

import numpy as np
import pytest

from skinlab.alterations.artefacts import ARTEFACTS, draw
from skinlab.alterations.corruptions import Image


@pytest.fixture(scope="module")
def skin() -> Image:
    """Light skin with some texture, 224 px."""
    texture = np.random.default_rng(0).normal(0, 4, (224, 224, 1))
    return np.clip(np.array([215, 165, 150]) + texture, 0, 255).astype(np.uint8)


def drawn(name: str, image: Image, dose: float, seed: int = 1) -> np.ndarray:
    return draw(name, image, dose, np.random.default_rng(seed)).astype(float)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_doses_change_more_and_more(skin: Image, name: str):
    change = [np.mean([np.abs(drawn(name, skin, dose, seed) - skin).mean() for seed in range(6)]) for dose in (0.25, 1)]
    assert 0 < change[0] < change[1]
    assert (drawn(name, skin, 0.5) == drawn(name, skin, 0.5)).all()
    assert (drawn(name, skin, 0) == skin).all()


@pytest.mark.parametrize("name", ARTEFACTS)
def test_any_size(name: str):
    for side in (64, 301):
        image = np.full((side, side, 3), 128, np.uint8)
        found = draw(name, image, 1.0, np.random.default_rng(2))
        assert found.shape == image.shape
        assert found.dtype == np.uint8
        assert (image == 128).all()  # the image itself is as it was


def test_scale_with_the_image():
    """The same marks at twice the size cover the same share of the image."""
    for name in ("scale_bar", "dark_corner", "patches", "ruler"):
        shares = [
            (drawn(name, np.full((side, side, 3), 200, np.uint8), 1.0, 3) != 200).any(-1).mean() for side in (224, 448)
        ]
        assert shares[0] == pytest.approx(shares[1], rel=0.25), name


def test_dark_corners_leave_the_centre_and_stickers_and_scales_the_middle(skin: Image):
    for seed in range(5):
        corners = drawn("dark_corner", skin, 1.0, seed)
        assert corners[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 30
        assert np.abs(corners - skin)[80:144, 80:144].mean() < 1
        for name in ("ruler", "scale_bar", "patches"):
            assert (drawn(name, skin, 1.0, seed) == skin)[90:134, 90:134].all(), name


def test_ink_is_violet_blue_or_grey(skin: Image):
    for seed in range(5):
        found = drawn("ink", skin, 1.0, seed)
        marked = np.abs(found - skin).max(-1) > 60
        assert 0.002 < marked.mean() < 0.15
        red, _, blue = (found / skin)[marked].mean(0)
        assert red < 0.8
        assert blue > 1.05 * red
