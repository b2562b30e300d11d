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
LINE = 20  # height of a line of the legend
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
    """Return an image and its coloured copy side by side, each above its part of the legend, ``(S + L, 2 S, 3)``.

    Args:
        image: ``(S, S, 3)``.
        strength: of the evidence for the class, ``(S, S)`` in [0, 1].
        called: the class that the map is for.
        score: its probability.
        rule: by what it was called, where it isn't the most probable class.
    """
    side, font = len(image), ImageFont.load_default(size=14)
    found = "Grad-CAM, strongest place = 1" if strength.any() else f"nothing in it speaks for {called}"
    texts = [f"called {called}, probability {score:.2f}", *([f"by {rule}"] if rule else []), found]
    left = [line for text in texts for line in wrapped(text, font, side - 2 * MARGIN)]
    right = wrapped(f"evidence for {called}", font, side - 2 * MARGIN)
    legend = np.full((2 * MARGIN + LINE * max(len(left), 2 + len(right)), 2 * side, 3), 255, np.uint8)
    scale = np.tile(np.linspace(0, 1, side - 2 * MARGIN), (12, 1))
    bar = overlay(np.full((*scale.shape, 3), 200, np.uint8), scale)
    legend[MARGIN : MARGIN + len(bar), side + MARGIN : 2 * side - MARGIN] = bar
    picture = Image.fromarray(np.concatenate([np.concatenate([image, overlay(image, strength)], 1), legend]))
    draw, top = ImageDraw.Draw(picture), side + MARGIN - 4
    draw.multiline_text((MARGIN, top), "\n".join(left), fill="black", font=font, spacing=LINE - 14)
    for x, anchor, text in ((side + MARGIN, "la", "none"), (2 * side - MARGIN, "ra", "strongest")):
        draw.text((x, top + LINE), text, fill="black", font=font, anchor=anchor)
    for i, text in enumerate(right, 2):
        draw.text((side + side // 2, top + i * LINE), text, fill="black", font=font, anchor="ma")
    return np.asarray(picture)


def wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Return a text in lines of at most ``width`` pixels; a longer word is broken.

    >>> wrapped("called Melanoma, probability 0.43", ImageFont.load_default(size=14), 170)
    ['called Melanoma,', 'probability 0.43']
    """
    lines: list[str] = []
    for word in text.split():
        while font.getlength(word) > width:
            fits = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or font.getlength(word[:n]) <= width)
            lines, word = [*lines, word[:fits]], word[fits:]
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def jpeg(pixels: Pixels) -> bytes:
    """Return pixels ``(H, W, 3)`` as a JPEG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=80)
    return content.getvalue()
