"""Take a lesion out of its image, or all but the lesion."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

MARGIN = 0.04  # of the side, around a lesion: outlines are drawn by hand, and the border is darker than the skin
FILL_SIDE = 56  # pixels at which colours are carried into a region; the skin's own texture is put onto them
SKIN_RING = 0.12  # of the side, around the margin
MIN_SKIN = 0.05  # share of the image: with less of it outside the lesion there is nothing to fill the lesion with


def widened(mask: Mask, share: float = MARGIN) -> Mask:
    """Return a mask ``(S, S)`` widened by a share of the side.

    >>> mask = np.zeros((25, 25), bool)
    >>> mask[12, 12] = True
    >>> int(widened(mask).sum())
    5
    """
    radius = round(share * mask.shape[0])
    ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), ball) > 0)


def has_skin(mask: Mask) -> bool:
    """Return whether enough of an image lies outside its lesion to fill the lesion with."""
    return bool((~widened(mask)).mean() >= MIN_SKIN)


def skin_around(mask: Mask) -> Mask:
    """Return the ring ``(S, S)`` of skin around a lesion; where the image ends before it, all outside the lesion."""
    ring = widened(mask, MARGIN + SKIN_RING) & ~widened(mask)
    return ring if ring.mean() > MIN_SKIN / 2 else ~widened(mask)


def without_lesion(image: Image, mask: Mask, rng: np.random.Generator) -> Image:
    """Fill the lesion with the skin around it: its colours by inpainting (Telea, 2004), and its grain.

    Args:
        image: ``(S, S, 3)``.
        mask: of the lesion, ``(S, S)``; :func:`has_skin` is true of it.
        rng: of the grain.
    """
    region, side = widened(mask), image.shape[0]
    small = cv2.resize(image, (FILL_SIDE, FILL_SIDE), interpolation=cv2.INTER_AREA)
    hole = cv2.resize(region.astype(np.uint8), (FILL_SIDE, FILL_SIDE), interpolation=cv2.INTER_AREA)
    carried = cv2.GaussianBlur(cv2.inpaint(small, cv2.dilate(hole, np.ones((3, 3))), 3, cv2.INPAINT_TELEA), (0, 0), 2)
    colours = cv2.resize(carried, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    ring = skin_around(mask)
    texture = image.astype(np.float32) - cv2.GaussianBlur(image, (0, 0), side / FILL_SIDE).astype(np.float32)
    grain = rng.permutation(texture[ring])
    grain = np.resize(grain, (side * side, 3)).reshape(side, side, 3)
    share = cv2.GaussianBlur(region.astype(np.float32), (0, 0), MARGIN * side / 4)[..., None]
    share = np.maximum(share, mask[..., None])
    blend = image * (1 - share) + (colours + grain) * share
    return np.asarray(np.clip(blend, 0, 255).round(), np.uint8)


def without_box(image: Image, mask: Mask) -> Image:
    """Cover the lesion's bounding box with the median colour of the skin around: no outline is left."""
    found, (rows, columns) = image.copy(), (np.flatnonzero(widened(mask).any(axis)) for axis in (1, 0))
    found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = np.median(image[skin_around(mask)], axis=0)
    return found


def without_centre(image: Image, share: float, colour: npt.ArrayLike) -> Image:
    """Cover a square in the centre, its side a share of the image's, with a colour ``(3,)``: it is no lesion's size."""
    found, centre = image.copy(), _centre(image.shape[0], share)
    found[centre, centre] = colour
    return found


def in_centre(mask: Mask, share: float) -> bool:
    """Return whether a lesion lies within the square that :func:`without_centre` covers.

    >>> mask = np.zeros((10, 10), bool)
    >>> mask[3:5, 3:7] = True
    >>> in_centre(mask, 0.4), in_centre(mask, 0.2)
    (True, False)
    """
    centre = _centre(mask.shape[0], share)
    return bool(mask[centre, centre].sum() == mask.sum())


def _centre(side: int, share: float) -> slice:
    margin = round((1 - share) / 2 * side)
    return slice(margin, side - margin)


def lesion_only(image: Image, mask: Mask, colour: npt.ArrayLike) -> Image:
    """Cover all but the lesion with a colour ``(3,)``."""
    return np.where(widened(mask)[..., None], image, np.asarray(colour, np.uint8))
