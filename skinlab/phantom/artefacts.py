"""Artefacts between skin and lens: hair, a ruler, gel bubbles, ink; each is painted on a view (size, size, 3)."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from skinlab.phantom.fields import Map, Points, blur, noise, strokes

# Units as everywhere: half the picture's width.
_HAIR_COLOURS = np.array([[0.10, 0.07, 0.06], [0.24, 0.15, 0.10], [0.42, 0.30, 0.20], [0.68, 0.61, 0.52]])
_INK = np.array([[0.36, 0.26, 0.62], [0.20, 0.24, 0.50], [0.22, 0.42, 0.52]])


def _mix(view: Map, opacity: Map, colour: Points) -> None:
    view += opacity[..., None] * (colour.astype(np.float32) - view)


def hair(view: Map, rng: np.random.Generator, count: int | None = None) -> None:
    """Paint thin bent hairs, mostly in one direction, each with a soft shadow; without a count a random number."""
    size = len(view)
    if count is None:
        count = int(rng.choice([2, 4, 8, 16, 26], p=[0.32, 0.32, 0.22, 0.10, 0.04]))
    main = rng.uniform(0, np.pi)
    steps = np.linspace(-1, 1, 14)[:, None]
    lines = []
    for angle in main + rng.normal(0, 0.45, count):
        along = np.array([np.cos(angle), np.sin(angle)])
        bend = rng.normal(0, 0.22) * steps**2 + rng.normal(0, 0.12) * steps**3
        length = rng.uniform(0.25, 1.3)
        lines.append(rng.uniform(-1, 1, 2) + length * (steps * along + bend * np.array([-along[1], along[0]])))
    strands = strokes(size, lines, rng.uniform(0.006, 0.014, count), span=1)
    shift = max(1, round(size / 96))
    shadow = blur(np.roll(strands, (shift, shift), (0, 1)), size / 110)
    view *= 1 - 0.22 * shadow[..., None]
    _mix(view, 0.85 * strands, _HAIR_COLOURS[rng.choice(4, p=[0.45, 0.33, 0.16, 0.06])])


def ruler(view: Map, rng: np.random.Generator) -> None:
    """Paint a millimetre scale along one edge: thin ticks, every fifth longer, sometimes a base line."""
    size, white = len(view), rng.random() < 0.15
    pitch, edge, skew = rng.uniform(0.10, 0.16), rng.uniform(0.86, 0.97), rng.normal(0, 0.03)
    along = np.array([np.cos(skew), np.sin(skew)])
    inward = np.array([along[1], -along[0]])
    first, lines = int(rng.integers(5)), []
    for k, place in enumerate(np.arange(-1.1, 1.1, pitch)):
        start = place * along - edge * inward
        lines.append(np.stack([start, start + (0.15 if (k + first) % 5 == 0 else 0.08) * inward]))
    if rng.random() < 0.4:
        lines.append(np.stack([-1.2 * along, 1.2 * along]) - edge * inward)
    ticks = strokes(size, lines, [0.009] * len(lines), span=1)
    ticks = np.ascontiguousarray(np.rot90(ticks, int(rng.integers(4))))
    _mix(view, 0.85 * ticks, np.full(3, 0.96 if white else 0.10))


def bubbles(view: Map, rng: np.random.Generator, count: int | None = None) -> None:
    """Paint gel bubbles: thin dark rims, lighter insides, bright crescents; without a count a random number."""
    size, lamp = len(view), rng.uniform(0, 360)
    inside, rims, lights = (np.zeros((size, size), np.uint8) for _ in range(3))
    n = rng.integers(2, 14) if count is None else count
    for radius in np.clip(rng.lognormal(np.log(0.045), 0.6, n), 0.018, 0.2):
        x, y = np.rint((rng.uniform(-1, 1, 2) + 1) * size / 2 * 16).astype(int).tolist()
        reach = max(20, round(radius * size / 2 * 16))
        cv2.circle(inside, (x, y), reach, 255, -1, cv2.LINE_AA, 4)
        cv2.circle(rims, (x, y), reach, 255, 1, cv2.LINE_AA, 4)
        bright = (reach * 3 // 4, reach * 3 // 4)
        cv2.ellipse(lights, (x, y), bright, lamp, -38, 38, 255, 1, cv2.LINE_AA, 4)
        cv2.ellipse(lights, (x, y), bright, lamp, 165, 195, 120, 1, cv2.LINE_AA, 4)
    scale = np.float32(1 / 255)
    _mix(view, 0.10 * scale * inside, np.ones(3))
    view *= 1 - 0.30 * scale * rims[..., None]
    _mix(view, 0.85 * blur(scale * lights.astype(np.float32), 0.4), np.ones(3))


def ink(view: Map, rng: np.random.Generator) -> None:
    """Paint strokes of a surgeon's pen near the edge: violet or blue, uneven and translucent."""
    size, lines = len(view), []
    for _ in range(rng.integers(1, 4)):
        angle = rng.uniform(0, 2 * np.pi)
        sweep = angle + np.linspace(-1, 1, 12) * rng.uniform(0.1, 0.45)
        lines.append(rng.uniform(0.85, 1.1) * np.stack([np.cos(sweep), np.sin(sweep)], -1) * rng.uniform(0.9, 1.15, 2))
    marks = blur(strokes(size, lines, rng.uniform(0.05, 0.13, len(lines)), span=1), size / 100)
    worn = np.clip(0.75 + 0.22 * noise(rng, size, 0.06) + 0.2 * noise(rng, size, 0.3), 0.15, 1)
    tint = _INK[rng.choice(3, p=[0.6, 0.25, 0.15])].astype(np.float32)
    view *= 1 - (marks * worn)[..., None] * (1 - tint)


ARTEFACTS: dict[str, Callable[[Map, np.random.Generator], None]] = {
    "ink": ink,
    "ruler": ruler,
    "hair": hair,
    "bubbles": bubbles,
}
