"""Segment a lesion without a network: the darkest and most unlike place near the centre, by Otsu's threshold.

For data sets without masks. Its Jaccard index against HAM10000's masks is in ``docs/how-to/shift.md``.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

SIDE = 128  # pixels at which an image is segmented
DARK = 20.0  # CIELAB lightness below which a border is no skin, but the dark corners of a dermoscope
MIN_CONTRAST = 8.0  # CIELAB distance of lesion and skin: below it, there is no edge to find
# Annotators draw outlines farther out than Otsu's threshold does: a lower threshold and a wider outline have the best
# Jaccard index on 500 images of HAM10000.
LOWER, WIDER = 0.8, 5
AREA = (0.01, 0.85)  # shares of the image between which a segmentation counts


def lesion_mask(image: Image) -> Mask | None:
    """Return the mask ``(S, S)`` of the lesion; None where none stands out from the skin.

    The skin's colour is the median of the border without dark corners. Otsu's threshold (1979) divides the CIELAB
    distance to it; of the regions above it, the one with the most distance near the centre is the lesion; its holes are
    closed.

    Args:
        image: uint8 RGB ``(S, S, 3)``.

    >>> image = np.full((64, 64, 3), (220, 170, 150), np.uint8)
    >>> lesion_mask(image) is None
    True
    >>> image[20:44, 20:44] = (90, 60, 50)
    >>> int(lesion_mask(image).sum()) // 100  # of 576 pixels, and a margin
    6
    """
    side = image.shape[0]
    small = cv2.medianBlur(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), 5)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    radius = np.hypot(x, y)
    seen = field_of_view(lab[..., 0])
    border = seen & (np.maximum(abs(x), abs(y)) > 0.8)
    if border.sum() < SIDE:
        return None
    skin = np.median(lab[border], axis=0)
    distance = np.linalg.norm(lab - skin, axis=-1) * (lab[..., 0] < skin[0] + 5) * seen
    distance = cv2.GaussianBlur(distance.astype(np.float32), (0, 0), 2)
    scaled = np.clip(distance * 2.5, 0, 255).astype(np.uint8)
    level, _ = cv2.threshold(scaled[seen], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    region = _heaviest(scaled > LOWER * level, distance * np.exp(-2 * radius**2))
    if region is None or not AREA[0] <= region.mean() <= AREA[1]:
        return None
    if np.median(distance[region]) - np.median(distance[seen & ~region]) < MIN_CONTRAST:
        return None
    found = cv2.resize(region.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(found > 0.5)


def field_of_view(lightness: npt.NDArray[Any]) -> Mask:
    """Return the mask ``(S, S)`` of what a dermoscope shows: all but dark regions that touch a corner."""
    dark = (lightness < DARK).astype(np.uint8)
    count, labels = cv2.connectedComponents(dark)
    corners = {int(labels[i, j]) for i in (0, -1) for j in (0, -1)} - {0}
    outside = np.isin(labels, list(corners)).astype(np.uint8) if count > 1 and corners else np.zeros_like(dark)
    margin = cv2.dilate(outside, np.ones((9, 9), np.uint8))  # the edge of the field is darker, too
    return np.asarray(margin == 0)


def _heaviest(region: Mask, weight: npt.NDArray[Any]) -> Mask | None:
    """Return the connected part of a region that holds the most weight, without holes; None of an empty region."""
    ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    opened = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, ball)
    count, labels = cv2.connectedComponents(opened)
    if count < 2:
        return None
    held = np.bincount(labels.ravel(), weight.ravel())
    part = (labels == 1 + int(held[1:].argmax())).astype(np.uint8)
    part = cv2.dilate(part, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (WIDER, WIDER)))
    outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(part), outlines, -1, 1, cv2.FILLED) > 0)
