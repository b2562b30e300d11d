"""The look of a device: the colour and the fall of light towards the edge that its images have and others lack."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

SIDE = 32  # pixels a side at which images are compared


@dataclass(frozen=True)
class Look:
    """What a device multiplies the light of an image by: ``exp(gain + fall * r²)``, r from 0 (centre) to 1 (corner).

    Attributes:
        gain: ``(3,)`` of red, green and blue.
        fall: ``(3,)`` of the same.
    """

    gain: Floats
    fall: Floats

    def apply(self, image: Image) -> Image:
        """Return an image ``(H, W, 3)`` with this look.

        >>> Look(np.log([2.0, 1.0, 0.5]), np.zeros(3)).apply(np.full((2, 2, 3), 100, np.uint8))[0, 0].tolist()
        [200, 100, 50]
        """
        light = np.exp(self.gain + self.fall * _squared_radius(*image.shape[:2])[..., None])
        return np.asarray(np.clip(np.rint(image * light), 0, 255), np.uint8)


def fit_look(images: Image, skin: npt.NDArray[np.bool_], own: Floats, others: Floats) -> Look:
    """Return the look that the images of a device have and others lack, as far as a gain and its fall describe it.

    The difference of the mean logarithms of light at each place of the picture is fitted by least squares, each place
    weighed by the images that show skin there. Lesions do not count: those of another device may be larger or darker.

    Args:
        images: ``(N, S, S, 3)``.
        skin: ``(N, S, S)`` where each image shows no lesion.
        own: ``(N,)`` weights of the images of the device, 0 for others.
        others: ``(N,)`` weights of the images that they are compared with.

    >>> images = np.full((4, 8, 8, 3), 100, np.uint8)
    >>> images[2:] = 150
    >>> look = fit_look(images, np.ones((4, 8, 8), bool), np.array([0.0, 0, 1, 1]), np.array([1.0, 1, 0, 0]))
    >>> look.apply(images[0])[0, 0].tolist()
    [150, 150, 150]
    """
    light = np.log1p(_small(images).reshape(len(images), -1, 3))
    clear = _small(255 * skin.astype(np.uint8)).reshape(len(images), -1) > 254
    weights = [each[:, None] / each.sum() * clear for each in (own, others)]
    seen = np.minimum(*(each.sum(0) for each in weights))
    places = seen > 0
    mean = [np.einsum("np,npc->pc", w, light)[places] / w.sum(0)[places, None] for w in weights]
    r2, root = _squared_radius(SIDE, SIDE).ravel()[places], seen[places] ** 0.5
    factors = np.stack([np.ones_like(r2), r2], 1) * root[:, None]
    (gain, fall), *_ = np.linalg.lstsq(factors, (mean[0] - mean[1]) * root[:, None])
    return Look(gain, fall)


def _small(images: Image) -> Floats:
    """Return the mean of each of ``SIDE * SIDE`` parts of images."""
    return np.stack([cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for each in images]).astype(float)


def _squared_radius(height: int, width: int) -> Floats:
    y, x = ((np.arange(n) + 0.5) * 2 / n - 1 for n in (height, width))
    return np.asarray((y[:, None] ** 2 + x[None, :] ** 2) / 2)
