"""A lesion is removed without a trace of its colours, skin far from it stays, and segmentation finds it."""

import numpy as np
import pytest

from skinlab.alterations.corruptions import Image
from skinlab.alterations.lesion import (
    has_skin,
    lesion_only,
    skin_around,
    widened,
    without_box,
    without_centre,
    without_lesion,
)
from skinlab.alterations.segmentation import Mask, lesion_mask

SKIN, DARK = (220, 170, 150), (80, 50, 40)


def drawn(radius: float, corners: bool = False) -> tuple[Image, Mask]:
    """Return skin with a dark disc left of the centre, 112 px, and the disc's mask."""
    y, x = np.mgrid[-1:1:112j, -1:1:112j]
    mask = np.hypot(x + 0.2, y) < radius
    image = np.where(mask[..., None], DARK, SKIN) + np.random.default_rng(0).normal(0, 3, (112, 112, 3))
    if corners:
        image[np.hypot(x, y) > 1.15] = 4
    return np.clip(image, 0, 255).astype(np.uint8), mask


def test_the_removed_lesion_has_the_colour_of_skin():
    image, mask = drawn(0.4)
    found = without_lesion(image, mask, np.random.default_rng(0))
    assert np.abs(found[mask].mean(0) - SKIN).max() < 4
    assert found[mask].std(0).max() < 8  # its grain is the skin's
    far = ~widened(mask, 0.15)
    assert (found[far] == image[far]).all()


def test_the_box_covers_the_lesion_and_its_margin():
    image, mask = drawn(0.3)
    found = without_box(image, mask)
    assert (found[widened(mask)] == np.median(image[skin_around(mask)], axis=0).astype(np.uint8)).all()
    assert (found != image).any(-1).mean() < 0.15


def test_the_centre_and_the_background_are_covered():
    image, mask = drawn(0.3)
    assert ((without_centre(image, 0.5, (1, 2, 3)) == (1, 2, 3)).all(-1)).sum() == 56 * 56
    only = lesion_only(image, mask, (1, 2, 3))
    assert (only[mask] == image[mask]).all()
    assert (only[~widened(mask)] == (1, 2, 3)).all()


def test_a_lesion_that_fills_the_image_has_no_skin():
    assert has_skin(drawn(0.4)[1])
    assert not has_skin(np.ones((112, 112), bool))


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("radius", [0.15, 0.4, 0.6])
def test_segmentation_finds_the_lesion_and_not_dark_corners(radius: float, corners: bool):
    image, mask = drawn(radius, corners)
    found = lesion_mask(image)
    assert found is not None
    assert (found & mask).sum() / (found | mask).sum() > 0.6


def test_segmentation_says_where_nothing_stands_out():
    assert lesion_mask(drawn(0.0)[0]) is None
    assert lesion_mask(drawn(0.0, corners=True)[0]) is None
