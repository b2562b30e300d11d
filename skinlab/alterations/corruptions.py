"""Corruptions of the acquisition at five severities.

The fifteen of MedMNIST-C's registry for DermaMNIST (Di Salvo et al., 2024, arXiv 2406.17536; package medmnistc 0.1.0,
Apache-2.0), whose parameters are for images of 224 pixels, and beside them white balance, colour cast and resolution.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from albumentations.augmentations.pixel.functional import image_compression
from PIL import Image as PilImage
from PIL import ImageEnhance

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

SEVERITIES = (1, 2, 3, 4, 5)
DESIGN_SIDE = 224  # pixels that the parameters are for; lengths scale with the image


@dataclass(frozen=True)
class Corruption:
    """A corruption: what it does at each of its five severities.

    Attributes:
        apply: from an image (S, S, 3), the severity's parameter and random numbers to the corrupted image.
        parameters: one a severity, from the mildest.
    """

    apply: Callable[[Image, Any, np.random.Generator], Image]
    parameters: Sequence[Any]

    def __call__(self, image: Image, severity: int, rng: np.random.Generator) -> Image:
        """Return the corrupted image; ``severity`` from 1 to 5."""
        return self.apply(image, self.parameters[severity - 1], rng)


def pixelate(image: Image, share: float, _: np.random.Generator) -> Image:
    """Scale down to a share of the side by averaging boxes, and up again."""
    side = int(image.shape[0] * share)
    small = PilImage.fromarray(image).resize((side, side), PilImage.Resampling.BOX)
    return np.asarray(small.resize(image.shape[1::-1], PilImage.Resampling.BOX))


def compress(image: Image, quality: int, _: np.random.Generator) -> Image:
    """Save as JPEG of a quality and read again."""
    return np.asarray(image_compression(image, quality, ".jpg"), np.uint8)


def gaussian_noise(image: Image, scale: float, rng: np.random.Generator) -> Image:
    """Add normal noise of a standard deviation, as a share of white."""
    return to_bytes(image / 255 + rng.normal(0, scale, image.shape))


def speckle_noise(image: Image, scale: float, rng: np.random.Generator) -> Image:
    """Add normal noise in proportion to the pixel."""
    light = image / 255
    return to_bytes(light + light * rng.normal(0, scale, image.shape))


def impulse_noise(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Set a share of all values to black or white."""
    chance = rng.random(image.shape)
    return np.where(chance < amount / 2, 0, np.where(chance < amount, 255, image)).astype(np.uint8)


def shot_noise(image: Image, photons: float, rng: np.random.Generator) -> Image:
    """Redraw each value as a count of photons, with so many of them at white."""
    return to_bytes(rng.poisson(image / 255 * photons) / photons)


def defocus_blur(image: Image, lens: tuple[float, float], _: np.random.Generator) -> Image:
    """Blur by a disc of a radius in pixels, itself smoothed by a standard deviation."""
    radius, smoothing = lens[0] * _scale(image), lens[1]
    reach = max(8, int(np.ceil(radius)))
    places = np.arange(-reach, reach + 1)
    disc = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float64)
    kernel = cv2.GaussianBlur(disc / disc.sum(), (3, 3), smoothing)
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101), np.uint8)


def motion_blur(image: Image, motion: tuple[float, float], rng: np.random.Generator) -> Image:
    """Blur along a line at up to 45 degrees: half a normal curve of (radius, standard deviation) in pixels."""
    radius, sigma = (each * _scale(image) for each in motion)
    angle, n = np.deg2rad(rng.uniform(-45, 45)), 2 * int(np.ceil(radius)) + 1
    kernel = np.zeros((2 * n + 1, 2 * n + 1))
    for step, weight in enumerate(np.exp(-(np.arange(n) ** 2) / (2 * sigma**2))):
        kernel[n + round(step * np.sin(angle)), n + round(step * np.cos(angle))] += weight
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101), np.uint8)


def zoom_blur(image: Image, zooms: tuple[float, float], _: np.random.Generator) -> Image:
    """Average the image and its copies zoomed into the centre, from 1 to a factor in steps."""
    factors = [1.0, *np.arange(1, zooms[0], zooms[1])]
    centre, total = (image.shape[0] - 1) / 2, np.zeros(image.shape, np.float64)
    for factor in factors:
        matrix = cv2.getRotationMatrix2D((centre, centre), 0, factor)
        total += cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)
    return to_bytes(total / len(factors) / 255)


def brightness(image: Image, factor: float, _: np.random.Generator) -> Image:
    """Multiply all values by a factor."""
    return np.asarray(ImageEnhance.Brightness(PilImage.fromarray(image)).enhance(factor))


def contrast(image: Image, factor: float, _: np.random.Generator) -> Image:
    """Move all values away from their mean by a factor."""
    return np.asarray(ImageEnhance.Contrast(PilImage.fromarray(image)).enhance(factor))


def black_corner(image: Image, radius: float, _: np.random.Generator) -> Image:
    """Blacken what lies outside a circle, its radius a share of half the side, as a dermoscope's tube does."""
    side = image.shape[0]
    inside = cv2.circle(np.zeros((side, side), np.uint8), (side // 2, side // 2), int(side / 2 * radius), 1, -1)
    return np.asarray(image * inside[..., None], np.uint8)


def characters(image: Image, text: tuple[int, int, float], rng: np.random.Generator) -> Image:
    """Write words at random places: how many and how long at most, and the largest size of the font."""
    written, scale = image.copy(), _scale(image)
    for _ in range(rng.integers(1, text[0] + 1)):
        word = "".join(rng.choice(list(string.ascii_lowercase), rng.integers(3, text[1] + 1)))
        size = rng.uniform(0.14, max(text[2], 0.141)) * 2 * scale
        place = (
            int(rng.integers(10, max(11, image.shape[1] - 8 * len(word)))),
            int(rng.integers(10, image.shape[0] - 10)),
        )
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        cv2.putText(written, word, place, cv2.FONT_HERSHEY_DUPLEX, size, colour, 1, cv2.LINE_AA)
    return written


def white_balance(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Make the light warmer or colder: red and blue gain and lose a share of the logarithm of their values."""
    warmer = strength if rng.random() < 0.5 else -strength
    return to_bytes(image / 255 * np.exp([warmer, 0.0, -warmer]))


def colour_cast(image: Image, distance: float, rng: np.random.Generator) -> Image:
    """Shift all colours by a distance in CIELAB's plane of a and b, in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab += np.array([0, distance * np.cos(angle), distance * np.sin(angle)], np.float32)
    return to_bytes(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def resolution(image: Image, share: float, _: np.random.Generator) -> Image:
    """Scale down to a share of the side and up again, smoothly, as a camera of fewer pixels."""
    side = max(4, int(image.shape[0] * share))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


CORRUPTIONS = {
    "pixelate": Corruption(pixelate, (0.7, 0.5, 0.4, 0.3, 0.25)),
    "jpeg_compression": Corruption(compress, (30, 20, 15, 10, 7)),
    "gaussian_noise": Corruption(gaussian_noise, (0.04, 0.08, 0.12, 0.18, 0.26)),
    "speckle_noise": Corruption(speckle_noise, (0.05, 0.15, 0.2, 0.35, 0.45)),
    "impulse_noise": Corruption(impulse_noise, (0.01, 0.03, 0.06, 0.09, 0.17)),
    "shot_noise": Corruption(shot_noise, (60, 25, 18, 10, 5)),
    "defocus_blur": Corruption(defocus_blur, ((4, 0.1), (5, 0.2), (6, 0.3), (7, 0.4), (8, 0.5))),
    "motion_blur": Corruption(motion_blur, ((10, 5), (15, 5), (15, 8), (15, 12), (20, 15))),
    "zoom_blur": Corruption(zoom_blur, ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))),
    "brightness_up": Corruption(brightness, (1.1, 1.2, 1.3, 1.4, 1.5)),
    "brightness_down": Corruption(brightness, (0.9, 0.8, 0.7, 0.6, 0.5)),
    "contrast_up": Corruption(contrast, (1.1, 1.2, 1.3, 1.4, 1.6)),
    "contrast_down": Corruption(contrast, (0.8, 0.7, 0.6, 0.5, 0.4)),
    "black_corner": Corruption(black_corner, (1.1, 1.05, 1.0, 0.95, 0.9)),  # the registry ends 0.90, 0.95
    "characters": Corruption(characters, ((1, 6, 0.14), (2, 7, 0.15), (3, 8, 0.16), (4, 9, 0.17), (6, 10, 0.18))),
}
COLOURS = {
    "white_balance": Corruption(white_balance, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "colour_cast": Corruption(colour_cast, (4, 8, 12, 16, 24)),
    "resolution": Corruption(resolution, (0.5, 0.35, 0.25, 0.18, 0.125)),
}
ALL = CORRUPTIONS | COLOURS


def to_bytes(light: npt.NDArray[Any]) -> Image:
    """Return values from 0 to 1 as bytes."""
    return np.asarray(np.round(np.clip(light, 0, 1) * 255), np.uint8)


def _scale(image: Image) -> float:
    return float(image.shape[0]) / DESIGN_SIDE
