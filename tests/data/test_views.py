"""The views' distributions, held against torchvision's and lightly's own."""

import math
import random

import cv2
import numpy as np
import pytest
import torch
from lightly.transforms import SimCLRTransform
from PIL import Image, ImageFilter
from scipy.stats import ks_2samp, kstest
from torchvision.transforms import ColorJitter, RandomResizedCrop
from torchvision.transforms import functional as tv

from skinlab.data.views import Blur, Crop, StepwiseJitter, crop_window, ssl_default, ssl_derm, window_map
from skinlab.errors import UserError

N = 1000


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A brown blob on light skin, with grain."""
    y, x = np.mgrid[:80, :80]
    blob = np.exp(-((x - 40) ** 2 + (y - 36) ** 2) / 300)[..., None]
    grain = np.random.default_rng(0).normal(0, 12, (80, 80, 1))
    return np.clip((1 - blob) * (205, 150, 130) + blob * (110, 60, 50) + grain, 0, 255).astype(np.uint8)


def statistics(view: np.ndarray) -> tuple[float, ...]:
    """Brightness, contrast, saturation, mean hue in radians and whether it is grey."""
    hsv = cv2.cvtColor(view, cv2.COLOR_RGB2HSV_FULL).astype(float)
    grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY).astype(float)
    hue = np.angle((np.exp(1j * hsv[..., 0] * math.tau / 256) * hsv[..., 1]).mean())
    return grey.mean(), grey.std(), hsv[..., 1].mean(), hue, float(np.ptp(view, axis=2).max() <= 1)


@pytest.fixture(scope="module")
def samples(image) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of N views of ours and of lightly's, (N, 5) each."""
    for seeded in (np.random.seed, torch.manual_seed, random.seed):
        seeded(0)
    lightly, picture = SimCLRTransform(input_size=64, normalize=None), Image.fromarray(image)
    theirs = [(255 * view).permute(1, 2, 0).byte().numpy() for _ in range(N // 2) for view in lightly(picture)]
    transform = ssl_default(64)
    transform.set_random_seed(0)
    ours = [transform(image=image)["image"] for _ in range(N)]
    return np.array([*map(statistics, ours)]), np.array([*map(statistics, theirs)])


@pytest.mark.parametrize("figure", range(5), ids=["brightness", "contrast", "saturation", "hue", "grey"])
def test_default_views_have_the_distribution_of_lightlys(samples, figure):
    ours, theirs = (each[:, figure] for each in samples)
    assert ks_2samp(ours, theirs).pvalue > 0.01
    spread = theirs.std()
    assert abs(ours.mean() - theirs.mean()) < 0.13 * spread  # three standard errors of the difference
    assert 0.9 < ours.std() / spread < 1.1


def test_a_quarter_more_hue_or_brightness_would_be_seen(samples):
    for figure in (0, 3):
        ours, theirs = (each[:, figure] for each in samples)
        assert ks_2samp(ours.mean() + 1.25 * (ours - ours.mean()), theirs).pvalue < 0.01


@pytest.mark.parametrize(("height", "width"), [(256, 256), (90, 200)])
def test_windows_have_the_area_and_aspect_of_torchvisions(height, width):
    torch.manual_seed(0)
    draw = random.Random(0)
    blank = torch.zeros(3, height, width)
    theirs = np.array([RandomResizedCrop.get_params(blank, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(2 * N)])
    ours = np.array([crop_window(height, width, (0.08, 1.0), draw) for _ in range(2 * N)])
    top, left, down, across = theirs.T
    for reference, drawn in (
        (down * across, ours[:, 2] * ours[:, 3]),
        (across / down, ours[:, 2] / ours[:, 3]),
        (left, ours[:, 0]),
        (top, ours[:, 1]),
    ):
        assert ks_2samp(reference, drawn).pvalue > 0.01
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= (width, height)).all()


def test_each_colour_step_is_torchvisions(image):
    jitter = StepwiseJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
    jitter.set_random_seed(0)
    named = {"_brighten": tv.adjust_brightness, "_stretch": tv.adjust_contrast}
    named |= {"_saturate": tv.adjust_saturation, "_turn_hue": tv.adjust_hue}
    for _ in range(20):
        steps = jitter.get_params()["steps"]
        for step, amount in steps:
            expected = np.asarray(named[step.__name__](Image.fromarray(image), amount), dtype=int)
            tolerance = 12 if step.__name__ == "_turn_hue" else 2  # Pillow's hue is rounded to a byte on the way
            difference = np.abs(step(image, amount) - expected)
            assert difference.max() <= tolerance
            assert difference.mean() < 1.5


def test_colour_amounts_and_their_order_are_uniform():
    jitter = StepwiseJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
    jitter.set_random_seed(0)
    drawn = [[(step.__name__, amount) for step, amount in jitter.get_params()["steps"]] for _ in range(N)]
    theirs = ColorJitter(0.8, 0.8, 0.8, 0.2)
    for name, limits in (("_brighten", theirs.brightness), ("_turn_hue", theirs.hue)):
        amounts = [amount for steps in drawn for step, amount in steps if step == name]
        assert kstest(amounts, "uniform", (limits[0], limits[1] - limits[0])).pvalue > 0.01
        places = np.bincount([[step for step, _ in steps].index(name) for steps in drawn], minlength=4)
        assert (abs(places - N / 4) < 4 * math.sqrt(N * 3 / 16)).all()


def test_blur_is_pillows_with_uniform_sigma(image):
    blur = Blur((0.1, 2.0))
    blur.set_random_seed(0)
    sigmas = [blur.get_params()["sigma"] for _ in range(N)]
    assert kstest(sigmas, "uniform", (0.1, 1.9)).pvalue > 0.01
    for sigma in (0.1, 0.5, 1.0, 2.0):
        theirs = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)), dtype=int)
        assert np.abs(blur.apply(image, sigma=sigma) - theirs).mean() < 1.5  # Pillow's is made of box filters


def test_a_window_is_the_same_whether_resized_or_warped(image):
    crop, window = Crop(40), (9, 5, 60, 66)
    for mirror in (False, True):
        resized = crop.apply(image, window=window, mirror=mirror, angle=0).astype(int)
        warped = crop.apply(image, window=window, mirror=mirror, angle=1e-9)
        assert np.abs(resized - warped)[1:-1, 1:-1].max() <= 2


def test_a_turned_window_keeps_its_centre_and_area():
    window = (9, 5, 60, 30)
    for angle in (0.3, 2.0):
        matrix = window_map(window, 40, mirror=True, angle=angle)
        np.testing.assert_allclose(matrix @ (19.5, 19.5, 1), (38.5, 19.5))
        assert abs(np.linalg.det(matrix[:, :2])) * 40 * 40 == pytest.approx(60 * 30)


def test_derm_views_turn_every_way_and_keep_hue():
    skin = np.full((40, 40, 3), (150, 100, 90), np.uint8)
    transform = ssl_derm(32)
    transform.set_random_seed(0)
    hue = [statistics(transform(image=skin)["image"])[3] for _ in range(300)]
    assert np.abs(np.array(hue) - statistics(skin)[3]).max() < 0.05 * math.tau + 0.06  # HSV's hue is of a hexagon
    crop = Crop(32, rotate=180)
    crop.set_random_seed(0)
    drawn = [crop.get_params_dependent_on_data({"shape": (40, 40, 3)}, {}) for _ in range(N)]
    assert kstest([each["angle"] for each in drawn], "uniform", (-math.pi, math.tau)).pvalue > 0.01
    assert abs(np.mean([each["mirror"] for each in drawn]) - 0.5) < 0.06


@pytest.mark.parametrize("preset", [ssl_default, ssl_derm])
def test_views_are_uint8_of_their_size_and_leave_the_image_alone(preset, image):
    image.setflags(write=False)
    before = image.copy()
    for size in (32, 100):
        view = preset(size, scale=[0.05, 0.4])(image=image)["image"]
        assert view.shape == (size, size, 3)
        assert view.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("scale", [(0, 1), (0.5, 0.2), (0.5, 1.5)])
def test_a_scale_that_is_no_range_of_shares_is_refused(scale):
    with pytest.raises(UserError, match="scale"):
        ssl_default(32, scale=scale)
