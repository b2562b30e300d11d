"""Structures of keratin and scar: cysts, plugs, ridges, scale, ulcers, white patches and lines."""

from __future__ import annotations

import numpy as np

from skinlab.phantom.fields import blur, discs, fractal, noise, scatter, smoothstep, strokes
from skinlab.phantom.patch import Patch
from skinlab.phantom.pigment import region


def milia(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint milia-like cysts: small round white to yellow spots."""
    centres = scatter(rng, patch.inner > 0.1, int(rng.integers(4, 16)))
    radii = np.clip(rng.lognormal(np.log(0.026), 0.35, len(centres)), 0.015, 0.06)
    patch.cover("white", (0.4 + 0.45 * strength) * blur(discs(patch.size, centres, radii), 0.006 * patch.size))


def comedo_openings(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint comedo-like openings: dark brown to black plugs of irregular shape, each with a faint pale rim."""
    centres = scatter(rng, patch.inner > 0.08, int(rng.integers(4, 15)))
    radii = np.clip(rng.lognormal(np.log(0.028), 0.4, len(centres)), 0.018, 0.075)
    rims = blur(discs(patch.size, centres, radii * 1.5, stretch=1.3), 0.8)
    plugs = blur(discs(patch.size, centres, radii, rng.uniform(0.5, 1, len(centres)), stretch=1.3), 0.6)
    patch.clear(0.35 * rims)
    patch.melanin += (1.0 + 1.6 * strength) * plugs
    patch.keratin += 1.2 * strength * plugs


def ridges(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint a cerebriform surface: winding brown furrows between pale gyri, like the folds of a brain."""
    level = fractal(rng, patch.size, rng.uniform(0.13, 0.2), 2, 0.4)
    furrows = smoothstep(0.6, 0.05, np.abs(level))
    inside = smoothstep(0.0, 0.08, patch.depth)
    patch.melanin += inside * strength * (1.05 * furrows - 0.22) * (0.45 + 0.6 * patch.traits.melanin)


def scale(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint scale: white to yellow flakes with sharp edges, lying on the surface."""
    flakes = fractal(rng, patch.size, rng.uniform(0.16, 0.30), 4, 0.8)
    threshold = rng.uniform(0.5, 1.0)
    sheet = smoothstep(threshold, threshold + 0.5, flakes) * smoothstep(-0.1, 0.2, patch.inner)
    crumbs = smoothstep(-0.6, 1.4, fractal(rng, patch.size, 0.08, 3, 0.9))
    patch.cover("white", (0.45 + 0.5 * strength) * sheet * (0.25 + 0.75 * crumbs))
    patch.keratin += 0.7 * strength * blur(sheet, 0.01 * patch.size)


def ulcer(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint ulceration: a raw red-orange hollow with dark crusts and a glistening rim."""
    area = region(patch, rng, rng.uniform(0.06, 0.25), 0.3, 0.3)
    crust = smoothstep(-0.2, 1.0, fractal(rng, patch.size, 0.16, 4, 0.8)) * area
    wet = smoothstep(1.3, 2.0, noise(rng, patch.size, 0.05)) * area
    patch.veil *= 1 - area
    patch.blood += strength * (0.8 * area + 1.6 * crust)
    patch.keratin += strength * (0.7 * area + 1.6 * crust)
    patch.melanin += 1.4 * strength * crust * crust
    rim = np.clip(blur(area, 0.012 * patch.size) - area, 0, 1)
    patch.cover("white", np.maximum(0.5 * rim, 0.7 * wet))


def scar(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint the central white scar-like patch of a dermatofibroma, with soft edges."""
    level = patch.inner + 0.09 * fractal(rng, patch.size, 0.3)
    start = rng.uniform(0.2, 0.5)
    centre = smoothstep(start, start + rng.uniform(0.3, 0.6), level)
    patch.clear(0.75 * strength * centre)
    patch.blood += rng.uniform(0.0, 0.35) * centre
    patch.cover("white", (0.15 + 0.4 * strength) * centre * (0.85 + 0.15 * np.tanh(noise(rng, patch.size, 0.08))))


def shiny_streaks(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint short white shiny lines at right angles, as visible in polarised light."""
    centres = scatter(rng, patch.inner > 0.15, int(rng.integers(5, 16)))
    turn = rng.uniform(0, np.pi) + np.where(rng.random(len(centres)) < 0.5, 0, np.pi / 2)
    reach = rng.uniform(0.04, 0.12, len(centres))[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1)
    lines = list(np.stack([centres - reach, centres + reach], 1))
    patch.cover("white", 0.7 * strength * blur(strokes(patch.size, lines, [0.012] * len(lines)), 0.6))
