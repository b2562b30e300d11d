"""Structures of blood: branching and dotted vessels, lacunae and their clots."""

from __future__ import annotations

import cv2
import numpy as np

from skinlab.phantom.fields import SPAN, Map, Points, blur, discs, fractal, lattice, smoothstep, strokes
from skinlab.phantom.patch import Patch
from skinlab.phantom.pigment import region


def wander(rng: np.random.Generator, size: int, count: int, width: float) -> Map:
    """Return winding lines across the canvas, 0 to 1."""
    lines = [
        _walk(rng, rng.uniform(-1.2, 1.2, 2), rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.5)) for _ in range(count)
    ]
    return strokes(size, lines, rng.uniform(0.6, 1.3, count) * width)


def _walk(rng: np.random.Generator, start: Points, heading: float, length: float) -> Points:
    """Return a winding path (n, 2) of steps of about 0.04 units."""
    steps = max(4, round(length / 0.04))
    drift = np.cumsum(rng.normal(0, 0.22, steps))
    headings = heading + drift - drift.mean() + 0.35 * np.sin(np.arange(steps) * rng.uniform(0.5, 1.1))
    moves = length / steps * np.stack([np.cos(headings), np.sin(headings)], -1)
    return np.asarray(start + np.concatenate([np.zeros((1, 2)), np.cumsum(moves, 0)]))


def _branch(
    rng: np.random.Generator, start: Points, heading: float, length: float, width: float
) -> list[tuple[Points, float]]:
    """Return a vessel and its branches, each thinner and shorter than its parent, as (path, width)."""
    path = _walk(rng, start, heading, length)
    half = len(path) // 2
    tree = [(path[: half + 1], width), (path[half:], 0.8 * width)]
    if width < 0.009:
        return tree
    for place in rng.integers(len(path) // 4, len(path), rng.integers(2, 4)):
        side = rng.choice([-1, 1]) * rng.uniform(0.4, 1.0)
        tree += _branch(rng, path[place], heading + side, length * rng.uniform(0.45, 0.7), 0.62 * width)
    return tree


def arborising_vessels(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint arborising vessels: bright red, sharp, thick stems that branch over the lesion into fine twigs."""
    radius = patch.traits.radius
    tree: list[tuple[Points, float]] = []
    for _ in range(rng.integers(2, 5)):
        angle = rng.uniform(0, 2 * np.pi)
        start = radius * rng.uniform(0.6, 1.1) * np.array([np.cos(angle), np.sin(angle)])
        tree += _branch(
            rng, start, angle + np.pi + rng.normal(0, 0.5), radius * rng.uniform(0.8, 1.3), rng.uniform(0.015, 0.025)
        )
    lines = strokes(patch.size, [path for path, _ in tree], [width for _, width in tree])
    lines *= smoothstep(-0.3, 0.05, patch.inner)
    patch.blood += (0.9 + 1.5 * strength) * lines + 0.5 * blur(lines, 0.012 * patch.size)


def dotted_vessels(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint dotted and coiled vessels: small red points, evenly spread or in clusters."""
    clusters = smoothstep(-0.6, 0.4, fractal(rng, patch.size, 0.5)) * patch.body > 0.5
    centres = lattice(rng, clusters, rng.uniform(0.08, 0.12), 0.25)
    radii = rng.uniform(0.010, 0.018, len(centres))
    patch.blood += 2.0 * strength * blur(discs(patch.size, centres, radii), 0.5)


def strawberry(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint a strawberry pattern: a red pseudo-network around pale follicles that hold a yellow plug."""
    area = smoothstep(-0.8, 0.3, fractal(rng, patch.size, 0.6)) * patch.body
    centres = lattice(rng, patch.depth > 0, rng.uniform(0.15, 0.21), 0.16)
    sizes = rng.uniform(0.036, 0.056, len(centres))
    halos = blur(discs(patch.size, centres, sizes), 0.008 * patch.size) * area
    patch.blood += 0.75 * strength * area * (1 - 1.25 * halos)
    patch.cover("white", 0.55 * strength * halos)
    patch.keratin += 0.9 * strength * area * discs(patch.size, centres, sizes * 0.42)


def lacunae(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint lacunae: well-bordered red, purple or blue-black lakes, parted by paler septa."""
    size, spacing = patch.size, rng.uniform(0.13, 0.30)
    centres = lattice(rng, patch.depth > 0.02, spacing, 0.24)
    marks = np.ones((size, size), np.uint8)
    column, row = np.clip(((centres.T + SPAN) / (2 * SPAN) * size).astype(int), 0, size - 1)
    marks[row, column] = 0
    if not len(centres):
        return
    far, owner = cv2.distanceTransformWithLabels(marks, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    lakes = rng.random((2, int(owner.max()) + 1)).astype(np.float32)
    radius = spacing * (0.34 + 0.26 * lakes[0])[owner] * size / (2 * SPAN)
    lake = smoothstep(1.1, 0.75, far / radius + 0.13 * fractal(rng, size, 0.15)) * smoothstep(-0.03, 0.03, patch.depth)
    lake = blur(lake, 0.6)
    dark = np.clip(rng.uniform(-0.3, 1.1) + 0.7 * (lakes[1] - 0.5), 0, 1)[owner]
    patch.blood += lake * strength * (1.6 + 2.4 * dark)
    patch.melanin += lake * strength * 1.3 * dark
    patch.cover("veil", blur(0.5 * lake * dark, 0.8))
    septa = (1 - lake) * smoothstep(0.0, 0.08, patch.depth)
    patch.cover("white", rng.uniform(0.05, 0.4) * septa)


def thrombus(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint a clot: a black-red area within a vascular lesion."""
    area = region(patch, rng, rng.uniform(0.15, 0.6), 0.15, 0.3)
    patch.blood += 3.5 * strength * area
    patch.melanin += 2.2 * strength * area
    patch.veil *= 1 - 0.8 * area
    patch.white *= 1 - 0.8 * area
