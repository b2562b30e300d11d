"""AugMix (Hendrycks et al., 2020, arXiv 1912.02781): a random mixture of an image and chains of simple alterations."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from skinlab.alterations.corruptions import Image, to_bytes

WIDTH, DEPTH, SEVERITY = 3, 3, 0.3  # chains, longest chain, and the paper's severity of 3 of 10


def augmix(image: Image, rng: np.random.Generator) -> Image:
    """Return a mixture of an image and three chains of one to three alterations.

    Of the paper's alterations solarising is left out, since colour is diagnostic. Its consistency loss is not part of
    an augmentation.

    Args:
        image: ``(S, S, 3)``, RGB.
        rng: of chains, strengths and shares.
    """
    altered, own = np.zeros(image.shape, np.float32), rng.beta(1, 1)
    for share in rng.dirichlet(np.ones(WIDTH)):
        chain = image
        for number in rng.integers(len(ALTERATIONS), size=rng.integers(1, DEPTH + 1)):
            chain = ALTERATIONS[number](chain, rng.uniform(0.1, SEVERITY), rng)
        altered += np.float32(share) * chain
    return to_bytes((own * image + (1 - own) * altered) / 255)


def autocontrast(image: Image, _: float, rng: np.random.Generator) -> Image:
    """Stretch each channel to the whole range; one of a single value stays."""
    lowest, highest = image.min((0, 1)).astype(float), image.max((0, 1)).astype(float)
    flat = lowest == highest
    lowest[flat], highest[flat] = 0, 255
    gains = 255 / (highest - lowest)
    return np.asarray(cv2.transform(image, np.column_stack([np.diag(gains), -gains * lowest])), np.uint8)


def equalise(image: Image, _: float, rng: np.random.Generator) -> Image:
    """Equalise the histogram of each channel."""
    return np.asarray(cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(image)]), np.uint8)


def posterise(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Keep the highest bits of each value, seven at the least strength and four at full."""
    return image & np.uint8(256 - 2 ** round(1 + 3 * strength))


def rotate(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Rotate about the centre, up to 30 degrees either way."""
    centre = (image.shape[0] - 1) / 2
    return _warped(image, cv2.getRotationMatrix2D((centre, centre), 30 * strength * rng.choice([-1, 1]), 1))


def shear(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Shear along one axis by up to 0.3 either way."""
    matrix, axis = np.eye(2, 3), rng.integers(2)
    matrix[axis, 1 - axis] = amount = 0.3 * strength * rng.choice([-1, 1])
    matrix[axis, 2] = -amount * (image.shape[0] - 1) / 2
    return _warped(image, matrix)


def translate(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Shift along one axis by up to a third of the side either way."""
    matrix = np.eye(2, 3)
    matrix[rng.integers(2), 2] = strength * image.shape[0] / 3 * rng.choice([-1, 1])
    return _warped(image, matrix)


# From an image, a strength from 0 to 1 and random numbers to the altered image.
ALTERATIONS: tuple[Callable[[Image, float, np.random.Generator], Image], ...] = (
    *(autocontrast, equalise, posterise),
    *(rotate, shear, translate),
)


def _warped(image: Image, matrix: npt.NDArray[np.float64] | cv2.typing.MatLike) -> Image:
    return np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101), np.uint8)
