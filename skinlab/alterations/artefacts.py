"""Artefacts of dermoscopy, drawn onto any square image at a dose from 0 (none) to 1 (strong).

Lengths are in units of half the image's width. Rulers, hair and gel bubbles are those of the phantom.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from skinlab.alterations.corruptions import Image, to_bytes
from skinlab.phantom import artefacts as phantom
from skinlab.phantom.fields import SPAN, Map, blur, grid, noise, smoothstep, strokes

INKS = np.array([[0.36, 0.30, 0.66], [0.16, 0.26, 0.62], [0.34, 0.33, 0.48]])  # violet, blue, grey
# Stickers beside children's lesions, as in the ISIC archive's images of the SONIC study.
STICKERS = np.array(
    [[0.91, 0.52, 0.24], [0.20, 0.58, 0.60], [0.42, 0.62, 0.36], [0.24, 0.38, 0.70], [0.84, 0.42, 0.58]]
)
BAR = np.array([0.10, 0.07, 0.08])


def draw(name: str, image: Image, dose: float, rng: np.random.Generator) -> Image:
    """Return an image with an artefact.

    Args:
        name: in :data:`ARTEFACTS`.
        image: ``(S, S, 3)``, RGB.
        dose: from 0 (none) to 1 (strong).
        rng: of place, shape and colour.

    >>> grey = np.full((64, 64, 3), 128, np.uint8)
    >>> bool((draw("ruler", grey, 0.0, np.random.default_rng(0)) == grey).all())
    True
    """
    if dose == 0:
        return image
    view = np.asarray(image / 255, np.float32)
    ARTEFACTS[name](view, dose, rng)
    return to_bytes(view)


def ruler(view: Map, dose: float, rng: np.random.Generator) -> None:
    """Draw a millimetre scale along an edge, as engraved in a contact plate; the dose is its contrast."""
    marked = view.copy()
    phantom.ruler(marked, rng)
    view += dose * (marked - view)


def scale_bar(view: Map, dose: float, rng: np.random.Generator) -> None:
    """Draw the scale bar that cameras copy into images: a line with ticks, and mm below; the dose is its size."""
    size, length, height = len(view), 0.5 + 0.9 * dose, rng.uniform(0.6, 0.85)
    left, n = rng.uniform(-0.9, 0.9 - length), int(rng.choice([10, 20]))
    lines = [np.array([[left, height], [left + length, height]])]
    for k in range(n + 1):
        x, tick = left + k * length / n, 0.07 if k % (n // 2) == 0 else 0.05 if k % 5 == 0 else 0.03
        lines.append(np.array([[x, height], [x, height - tick * (0.6 + 0.6 * dose)]]))
    marks = strokes(size, lines, [0.006 + 0.005 * dose] * len(lines), span=1)
    letters, font = np.zeros((size, size), np.uint8), (0.25 + 0.25 * dose) * size / 224
    place = round((left + 1) * size / 2), round((height + 0.06 + 0.06 * dose + 1) * size / 2)
    cv2.putText(letters, "mm", place, cv2.FONT_HERSHEY_SIMPLEX, font, 255, 1, cv2.LINE_AA)
    _mix(view, np.float32(0.92) * np.maximum(marks, letters * np.float32(1 / 255)), BAR)


def gel_bubble(view: Map, dose: float, rng: np.random.Generator) -> None:
    """Draw bubbles in the immersion gel, 40 at a dose of 1."""
    phantom.bubbles(view, rng, round(40 * dose))


def hair(view: Map, dose: float, rng: np.random.Generator) -> None:
    """Draw hairs, 32 at a dose of 1."""
    phantom.hair(view, rng, round(32 * dose))


def ink(view: Map, dose: float, rng: np.random.Generator) -> None:
    """Draw marks of a pen around the centre, four at a dose of 1, that stay in the furrows of the skin."""
    size, n, first, lines = len(view), max(1, round(4 * dose)), rng.uniform(0, 2 * np.pi), []
    for k in range(n):
        sweep = first + k * 2.4 + np.linspace(-1, 1, 16) * rng.uniform(0.25, 0.55)  # 2.4: the golden angle
        radius = rng.uniform(0.72, 0.98) + rng.normal(0, 0.02, 16).cumsum() / 2
        lines.append(radius[:, None] * np.stack([np.cos(sweep), np.sin(sweep)], -1))
    marks = blur(strokes(size, lines, rng.uniform(0.05, 0.13, n), span=1), size / 120)
    light = view.mean(2)
    furrows = (blur(light, size / 60) - light) / 0.03
    grain = noise(rng, size, 0.022) + 0.7 * noise(rng, size, 0.2) + 0.6 * np.clip(furrows, -2, 2)
    opacity = smoothstep(0.35, 1.1, marks + 0.4 * grain) * np.clip(2 * marks, 0, 1)
    tint = INKS[rng.choice(3, p=[0.4, 0.3, 0.3])]
    view *= 1 - rng.uniform(0.55, 0.9) * opacity[..., None] * (1 - tint.astype(np.float32))


def dark_corner(view: Map, dose: float, rng: np.random.Generator) -> None:
    """Darken what lies outside the circle of a dermoscope's tube; the dose is how narrow it is."""
    x, y = _axes(len(view))
    radius, soft = 1.45 - 0.45 * dose, rng.uniform(0.02, 0.06)
    away = np.hypot(x - rng.normal(0, 0.05), y - rng.normal(0, 0.05))
    view *= 1 - 0.3 * smoothstep(radius - 0.4, radius, away)[..., None]
    _mix(view, 0.97 * smoothstep(radius - soft, radius + soft, away), np.array([0.03, 0.03, 0.05]))


def patches(view: Map, dose: float, rng: np.random.Generator) -> None:
    """Draw coloured stickers that reach into the image from its edge, four at a dose of 1."""
    size, first, n = len(view), rng.uniform(0, 2 * np.pi), max(1, round(4 * dose))
    x, y = _axes(size)
    light = blur(view.mean(2), size / 8)
    light = light / light.mean()
    for k in range(n):
        angle, radius, reach = first + k * 2.4, rng.uniform(0.45, 0.7), rng.uniform(0.2, 0.4)
        edge = 1 / max(abs(np.cos(angle)), abs(np.sin(angle)))  # from the centre to the image's edge
        away = edge + radius - reach
        depth = radius - np.hypot(x - away * np.cos(angle), (y - away * np.sin(angle)) * rng.uniform(0.85, 1.15))
        view *= 1 - 0.25 * smoothstep(-0.07, 0.01, depth)[..., None]  # its shadow on the skin
        shade = light * (1 - 0.3 * smoothstep(0.05, 0, depth)) * (1 + 0.025 * noise(rng, size, 0.03))
        sticker = shade[..., None] * STICKERS[rng.integers(len(STICKERS))].astype(np.float32)
        view += smoothstep(-0.012, 0.012, depth)[..., None] * (sticker - view)


def gel_border(view: Map, dose: float, rng: np.random.Generator) -> None:
    """Draw the edge of the immersion gel; beyond it the skin is dull and glares. The dose is how far it comes in."""
    size, angle = len(view), rng.uniform(0, 2 * np.pi)
    x, y = _axes(size)
    past = x * np.cos(angle) + y * np.sin(angle) + 0.07 * noise(rng, size, 0.5) - (1.0 - 0.7 * dose)
    dry = smoothstep(-0.01, 0.03, past)[..., None]
    skin = np.stack([blur(view[..., c], size / 110) for c in range(3)], -1)
    glare = np.clip(noise(rng, size, 0.025) * noise(rng, size, 0.3) - 0.7, 0, 1)
    dull = 0.12 + 0.78 * skin * np.array([1.0, 0.9, 0.88], np.float32) + 0.2 * glare[..., None]
    view += dry * (dull - view)
    uneven = np.clip(0.6 + 0.4 * noise(rng, size, 0.2), 0.1, 1)
    view *= 1 - (0.3 * uneven * _ridge(past, 0.045, 0.025))[..., None]
    _mix(view, 0.75 * uneven * _ridge(past, 0.0, 0.012) + 0.25 * uneven * _ridge(past, -0.07, 0.01), np.ones(3))


ARTEFACTS: dict[str, Callable[[Map, float, np.random.Generator], None]] = {
    "ruler": ruler,
    "scale_bar": scale_bar,
    "gel_bubble": gel_bubble,
    "hair": hair,
    "ink": ink,
    "dark_corner": dark_corner,
    "patches": patches,
    "gel_border": gel_border,
}


def _axes(size: int) -> tuple[Map, Map]:
    """Return the coordinates of every pixel, ``(S, S)`` each, from -1 to 1."""
    x, y = grid(size)
    return x / np.float32(SPAN), y / np.float32(SPAN)


def _ridge(distance: Map, place: float, width: float) -> Map:
    return np.asarray(np.exp(-(((distance - place) / width) ** 2)), np.float32)


def _mix(view: Map, opacity: Map, colour: npt.NDArray[np.float64]) -> None:
    view += np.clip(opacity, 0, 1)[..., None] * (colour.astype(np.float32) - view)
