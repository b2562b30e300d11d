"""Random maps on a square canvas for all structures: noise, honeycombs, discs and strokes.

Lengths are in units of half the picture's width. The canvas extends `SPAN` units from its centre to each side, more
than the picture, so that a view may be rotated and shifted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Points = NDArray[np.float64]
Values = NDArray[np.floating]

SPAN = 1.4
_MANY_CELLS = 24
_SHIFT = 4  # fractional bits of the coordinates that cv2 draws at


def canvas_size(image_size: int) -> int:
    """Return the canvas width in pixels for pictures of a given width.

    >>> canvas_size(128)
    180
    """
    return 2 * round(SPAN * image_size / 2)


@lru_cache(maxsize=4)
def grid(size: int) -> tuple[Map, Map]:
    """Return the horizontal and vertical coordinate of every canvas pixel, (size, size) each, read-only."""
    axis = ((np.arange(size) + 0.5) / size * 2 * SPAN - SPAN).astype(np.float32)
    u, v = np.meshgrid(axis, axis)
    u.flags.writeable = v.flags.writeable = False
    return u, v


def smoothstep(low: float, high: float, x: Values) -> Map:
    """Return a smooth step from 0 at `low` to 1 at `high` (falling if `low` > `high`)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def blur(image: Map, sigma: float) -> Map:
    """Return a map blurred by a Gaussian of sigma pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def noise(rng: np.random.Generator, size: int, scale: float) -> Map:
    """Return smooth noise of about unit variance with bumps `scale` units wide."""
    cells = max(2, int(np.ceil(2 * SPAN / scale)))
    return _enlarge(_bumps(rng, cells), size)


def _bumps(rng: np.random.Generator, cells: int) -> Map:
    """Return white noise of unit variance, blurred on a grid twice as fine as its bumps to hide the grid's axes.

    Bumps of a few pixels do not show the axes and are not blurred.
    """
    if cells > _MANY_CELLS:
        coarse = rng.standard_normal((cells, cells), dtype=np.float32)
        return np.asarray(cv2.resize(coarse, (2 * cells, 2 * cells), interpolation=cv2.INTER_LINEAR), np.float32)
    fine = rng.standard_normal((2 * cells, 2 * cells), dtype=np.float32)
    return np.asarray(cv2.GaussianBlur(fine, (5, 5), 1.0), np.float32) * np.float32(2 * math.sqrt(math.pi))


def _enlarge(coarse: Map, size: int) -> Map:
    """Enlarge smoothly; the last doubling of a coarse map is linear, in a third of the time without visible change."""
    if 4 * len(coarse) <= size:
        coarse = np.asarray(cv2.resize(coarse, (size // 2, size // 2), interpolation=cv2.INTER_CUBIC), np.float32)
        return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def fractal(rng: np.random.Generator, size: int, scale: float, octaves: int = 4, gain: float = 0.6) -> Map:
    """Return a sum of noises, each half as wide and `gain` times as strong as the last, of about unit variance."""
    cells = max(2, int(np.ceil(2 * SPAN / scale)))
    total = _bumps(rng, cells)
    for k in range(1, octaves):
        cells = min(2 * cells, size // 2)
        total = np.asarray(cv2.resize(total, (2 * cells, 2 * cells), interpolation=cv2.INTER_LINEAR), np.float32)
        total += gain**k * _bumps(rng, cells)
    total /= math.sqrt(sum(gain ** (2 * k) for k in range(octaves)))
    return _enlarge(total, size)


def honeycomb(rng: np.random.Generator, size: int, cell: float, warp: float) -> Map:
    """Return the mesh of a pigment network: 1 on its lines, 0 in its round holes.

    The crests of three plane waves at 60 degrees form a hexagonal lattice, the holes. Noise bends the coordinates.

    Args:
        rng: source of randomness.
        size: canvas width in pixels.
        cell: distance between holes, in units.
        warp: how far the mesh is bent, in cells.
    """
    u, v = grid(size)
    x = u + cell * warp * noise(rng, size, 4 * cell)
    y = v + cell * warp * noise(rng, size, 4 * cell)
    wave, turn = 4 * math.pi / (math.sqrt(3) * cell), rng.uniform(0, math.pi)
    crests = np.zeros((size, size), np.float32)
    for angle in (turn, turn + math.pi / 3, turn + 2 * math.pi / 3):
        crests += np.cos(wave * math.cos(angle) * x + wave * math.sin(angle) * y)
    crests += 0.5 * noise(rng, size, 3 * cell)  # lines of varying width
    return smoothstep(0.8, -1.1, crests)


def lattice(rng: np.random.Generator, where: NDArray[np.bool_], spacing: float, jitter: float = 0.3) -> Points:
    """Return points (n, 2) about `spacing` units apart, on a jittered hexagonal lattice where a map is true."""
    rows = np.arange(-SPAN, SPAN, spacing * 0.866)
    columns = np.arange(-SPAN, SPAN, spacing)
    x = columns[None, :] + np.where(np.arange(len(rows)) % 2, spacing / 2, 0)[:, None]
    points = np.stack([x, np.broadcast_to(rows[:, None], x.shape)], -1).reshape(-1, 2)
    points = points + rng.normal(0, jitter * spacing, points.shape)
    return points[lookup(where, points)]


def scatter(rng: np.random.Generator, where: NDArray[np.bool_], count: int) -> Points:
    """Return up to `count` points (n, 2), uniform over the true pixels of a canvas map."""
    pixels = np.flatnonzero(where)
    if not len(pixels):
        return np.empty((0, 2))
    size = len(where)
    chosen = rng.choice(pixels, count)
    position = np.stack([chosen % size, chosen // size], -1) + rng.random((count, 2))
    return np.asarray(position / size * 2 * SPAN - SPAN)


def lookup(values: NDArray[np.bool_], points: Points) -> NDArray[np.bool_]:
    """Return the values of a canvas map at points (n, 2); false outside the canvas."""
    size = len(values)
    column, row = np.floor((points.T + SPAN) / (2 * SPAN) * size).astype(int)
    inside = (np.minimum(column, row) >= 0) & (np.maximum(column, row) < size)
    return np.asarray(inside & values[np.clip(row, 0, size - 1), np.clip(column, 0, size - 1)])


def discs(size: int, centres: Points, radii: Points, weights: Points | None = None, stretch: float = 1.0) -> Map:
    """Return anti-aliased discs on the canvas, 0 to 1; for `stretch` > 1 ellipses with various rotations.

    Args:
        size: canvas width in pixels.
        centres: (n, 2), in units.
        radii: (n,), in units.
        weights: (n,) from 0 to 1, the brightness of each disc.
        stretch: ratio of the long to the short axis.
    """
    canvas = np.zeros((size, size), np.uint8)
    per_unit = size / (2 * SPAN)
    positions = np.rint(((centres + SPAN) * per_unit - 0.5) * 2**_SHIFT).astype(int)
    shades = np.full(len(centres), 255) if weights is None else np.rint(255 * weights).astype(int)
    for (x, y), radius, shade in zip(positions.tolist(), (radii * per_unit).tolist(), shades.tolist(), strict=True):
        axes = (round(radius * stretch * 2**_SHIFT), round(radius * 2**_SHIFT))
        turn = (x * 7 + y * 13) % 180
        cv2.ellipse(canvas, (x, y), axes, turn, 0, 360, shade, -1, cv2.LINE_AA, _SHIFT)
    return canvas * np.float32(1 / 255)


def strokes(size: int, lines: Sequence[Points], widths: Sequence[float] | Points, span: float = SPAN) -> Map:
    """Return anti-aliased polylines on a square, 0 to 1; a line thinner than a pixel is fainter.

    Args:
        size: width of the square in pixels.
        lines: each (n, 2), in units.
        widths: of each line, in units.
        span: units from the square's centre to its side.
    """
    canvas = np.zeros((size, size), np.uint8)
    per_unit = size / (2 * span)
    for line, width in zip(lines, widths, strict=True):
        points = np.rint(((line + span) * per_unit - 0.5) * 2**_SHIFT).astype(np.int32)
        pixels = width * per_unit
        shade = round(255 * min(1.0, pixels))
        cv2.polylines(canvas, [points], False, shade, max(1, round(pixels)), cv2.LINE_AA, _SHIFT)
    return canvas * np.float32(1 / 255)
