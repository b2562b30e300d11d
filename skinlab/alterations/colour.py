"""Colour constancy: the light of an image is estimated and its colour removed."""

from __future__ import annotations

import cv2
import numpy as np

from skinlab.alterations.corruptions import Image

NORM = 6  # of Minkowski: 1 is grey world, infinity the brightest value; the best one of Finlayson & Trezzi
DARKEST = 1 / 255  # of an estimated light, so that a black channel stays black
POWERS = (np.arange(256) / 255) ** NORM


def shades_of_gray(image: Image) -> Image:
    """Scale the channels so that the light, as Shades of Gray estimates it, is grey.

    The light of a channel is the Minkowski norm of its values (Finlayson & Trezzi, 2004, Color and Imaging Conference
    12), here of order 6. :class:`skinlab.models.normalise.Normalise` does the same to batches.

    Args:
        image: ``(H, W, 3)``, RGB.

    >>> shades_of_gray(np.full((2, 2, 3), (200, 100, 100), np.uint8))[0, 0].tolist()
    [141, 141, 141]
    """
    counts = [cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel() for channel in range(3)]
    light = np.maximum((counts @ POWERS / counts[0].sum()) ** (1 / NORM), DARKEST)
    gains = np.sqrt((light**2).mean()) / light
    return np.asarray(cv2.transform(image, np.diag(gains)), np.uint8)
