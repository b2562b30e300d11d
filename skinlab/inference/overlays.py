"""Draw where a network looked: a map over its image, with a legend."""

from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

SIDE = 240  # of a picture in a report, in pixels
LARGE = 320  # of each half of a picture with a legend
STRENGTH = 0.7  # share of colour where the map is strongest; the image shows through everywhere
LEGEND = 64  # height of the legend
MARGIN = 12
Pixels = npt.NDArray[np.uint8]


def overlay(image: Pixels, strength: npt.NDArray[np.floating]) -> Pixels:
    """Colour an image ``(H, W, 3)`` by the strength ``(H, W)`` in [0, 1]; where it is 0 the image stays as it is.

    >>> bool((overlay(np.full((2, 2, 3), 9, np.uint8), np.zeros((2, 2))) == 9).all())
    True
    """
    colour = cv2.applyColorMap((255 * strength).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    share = STRENGTH * strength[..., None]
    return np.asarray(np.round(image * (1 - share) + colour * share), np.uint8)


def explained(image: Pixels, strength: npt.NDArray[np.floating], called: str, score: float, rule: str = "") -> Pixels:
    """Return an image and its coloured copy side by side above a legend, ``(S + LEGEND, 2 S, 3)``.

    Args:
        image: ``(S, S, 3)``.
        strength: of the evidence for the class, ``(S, S)`` in [0, 1].
        called: the class that the map is for.
        score: its probability.
        rule: how it was called, where it isn't the most probable class.
    """
    side = len(image)
    scale = np.tile(np.linspace(0, 1, side - 2 * MARGIN), (12, 1))
    bar = overlay(np.full((*scale.shape, 3), 200, np.uint8), scale)
    legend = np.full((LEGEND, 2 * side, 3), 255, np.uint8)
    legend[10 : 10 + len(bar), side + MARGIN : 2 * side - MARGIN] = bar
    picture = Image.fromarray(np.concatenate([np.concatenate([image, overlay(image, strength)], 1), legend]))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=14)
    line = f"called {called}, probability {score:.2f}{rule and f'; {rule}'}"[:88]
    draw.text((MARGIN, side + 8), line, fill="black", font=font)
    what = "Grad-CAM, strongest place = 1" if strength.any() else f"nothing in it speaks for {called}"[:40]
    draw.text((MARGIN, side + 34), what, fill="black", font=font)
    ends = ((side + MARGIN, "la", "none"), (2 * side - MARGIN, "ra", "strongest"))
    draw.text((side + side // 2, side + 34), f"evidence for {called}"[:30], fill="black", font=font, anchor="ma")
    for x, anchor, text in ends:
        draw.text((x, side + 34), text, fill="black", font=font, anchor=anchor)
    return np.asarray(picture)


def jpeg(pixels: Pixels) -> bytes:
    """Return pixels ``(H, W, 3)`` as a JPEG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=80)
    return content.getvalue()
