"""Structures of melanin: networks, globules, dots, streaks, blotches, blue-white veil and regression."""

from __future__ import annotations

import math

import numpy as np

from skinlab.phantom.fields import (
    Map,
    blur,
    discs,
    fractal,
    grid,
    honeycomb,
    lattice,
    noise,
    scatter,
    smoothstep,
)
from skinlab.phantom.patch import Patch


def region(patch: Patch, rng: np.random.Generator, share: float, edge: float = 0.25, off_centre: float = 0.5) -> Map:
    """Return an irregular part of the lesion, 0 to 1, off its centre, for asymmetric structures.

    Args:
        patch: of the lesion.
        rng: source of randomness.
        share: rough share of the lesion.
        edge: softness of its edge.
        off_centre: distance of its centre from the lesion's, in radii.
    """
    u, v = grid(patch.size)
    direction, radius = rng.uniform(0, 2 * math.pi), patch.traits.radius
    x = u - off_centre * radius * math.cos(direction)
    y = v - off_centre * radius * math.sin(direction)
    reach = radius * math.sqrt(share)
    level = 1 - np.sqrt(x * x + y * y) / reach + 0.28 * fractal(rng, patch.size, 0.6 * reach + 0.08)
    return smoothstep(-edge, edge, level) * patch.body


def network(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint a regular network: even mesh, round holes, thinning out towards the border."""
    mesh = honeycomb(rng, patch.size, rng.uniform(0.060, 0.092), 0.42)
    fade = smoothstep(-0.1, 0.3, patch.inner) * (0.35 + 0.65 * smoothstep(-0.5, 0.5, noise(rng, patch.size, 0.3)))
    patch.melanin += patch.body * fade * strength * (1.15 * mesh - 0.38) * (0.35 + 0.55 * patch.traits.melanin)


def atypical_network(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint an irregular network: two mesh widths, broad broken lines, ending abruptly at the border."""
    fine = honeycomb(rng, patch.size, rng.uniform(0.075, 0.10), 0.5)
    coarse = honeycomb(rng, patch.size, rng.uniform(0.11, 0.16), 0.65)
    mix = smoothstep(-0.3, 0.3, noise(rng, patch.size, 0.45))
    broken = smoothstep(-0.9, 0.7, fractal(rng, patch.size, 0.4))
    mesh = fine + mix * (coarse - fine)
    where = smoothstep(0.0, 0.06, patch.depth) * broken
    patch.melanin += where * strength * (1.8 * mesh - 0.6) * (0.4 + 0.4 * patch.traits.melanin)


def fine_network(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint a delicate network in a ring at the lesion's edge, around a pale centre."""
    mesh = honeycomb(rng, patch.size, rng.uniform(0.06, 0.08), 0.35)
    ring = smoothstep(-0.25, 0.1, patch.inner) * smoothstep(0.75, 0.35, patch.inner)
    patch.melanin += ring * strength * (0.65 * mesh - 0.05)


def globules(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint regular globules: brown, of similar size, evenly spread or as a rim."""
    rim = rng.random() < 0.4
    where = (patch.inner > -0.02) & ((patch.inner < 0.3) | (not rim))
    centres = lattice(rng, where, rng.uniform(0.10, 0.14), 0.13)
    radii = rng.uniform(0.036, 0.046) * rng.uniform(0.85, 1.15, len(centres))
    spots = discs(patch.size, centres, radii, rng.uniform(0.6, 1, len(centres)), stretch=1.15)
    patch.melanin += strength * (0.5 + 0.55 * patch.traits.melanin) * blur(spots, 0.7)


def irregular_dots(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint irregular dots and globules of all sizes, brown to black, mostly on one side."""
    side = region(patch, rng, 0.8, off_centre=0.7) + 0.15 * patch.body
    centres = scatter(rng, side > rng.uniform(0.3, 0.6), int(rng.integers(10, 38)))
    radii = np.clip(rng.lognormal(np.log(0.026), 0.45, len(centres)), 0.012, 0.075)
    patch.melanin += 2.6 * strength * discs(patch.size, centres, radii, rng.uniform(0.3, 1, len(centres)), stretch=1.3)


def streaks(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint streaks: dark radial lines from a part of the border outwards, tapering to a point."""
    length = rng.uniform(0.08, 0.15)
    count = round(2 * math.pi * patch.traits.radius / rng.uniform(0.09, 0.13))
    comb = (
        0.5
        + 0.5 * np.cos(count * patch.angle + 2.2 * noise(rng, patch.size, 0.3))
        - 0.15 * (1 + noise(rng, patch.size, 0.1))
    )
    reach = length * np.clip(1 + 0.6 * noise(rng, patch.size, 0.16), 0.1, 1.8)
    taper = np.clip((patch.depth + reach) / (2.2 * reach), 0, 1)  # 0 at the tips, 1 within the lesion
    fingers = smoothstep(-0.15, 0.15, comb - (1 - taper)) * (taper > 0)
    spread = rng.uniform(-0.3, 0.6)
    arc = smoothstep(spread, spread + 0.25, np.cos(patch.angle - rng.uniform(0, 2 * math.pi)))
    inward = smoothstep(2.5 * length, 0.0, patch.depth)
    patch.melanin += (1.1 + patch.traits.melanin) * strength * arc * inward * fingers


def blotch(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint a dark structureless area off the centre."""
    patch.melanin += rng.uniform(1.4, 3.0) * strength * region(patch, rng, rng.uniform(0.15, 0.4), 0.3)


def veil(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint a blue-white veil: a structureless blue-gray haze with a ground-glass film over a part of the lesion."""
    area = region(patch, rng, rng.uniform(0.2, 0.5), 0.6, 0.35)
    clouds = 0.72 + 0.28 * np.tanh(fractal(rng, patch.size, 0.35))
    patch.melanin += 0.5 * area
    patch.cover("veil", (0.35 + 0.55 * strength) * area * clouds)
    patch.cover("white", 0.22 * strength * area * smoothstep(0.1, 1.2, fractal(rng, patch.size, 0.3)))


def regression(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint regression: a white scar-like area within the lesion, with blue-gray dots."""
    area = region(patch, rng, rng.uniform(0.25, 0.5), 0.4, 0.5)
    patch.clear(0.85 * strength * area)
    patch.cover("white", 0.38 * strength * area)
    pepper = scatter(rng, area > 0.4, 110)
    grains = discs(patch.size, pepper, rng.uniform(0.005, 0.012, len(pepper)))
    patch.white *= 1 - 0.8 * blur(grains, 0.6)
    patch.cover("veil", 0.7 * strength * blur(grains, 0.6))


def nests(patch: Patch, rng: np.random.Generator, strength: float) -> None:
    """Paint blue-gray ovoid nests and small globules of a pigmented basal cell carcinoma."""
    large = scatter(rng, patch.inner > 0.1, int(rng.integers(2, 7)))
    small = scatter(rng, patch.inner > 0.0, int(rng.integers(4, 16)))
    centres = np.concatenate([large, small])
    radii = np.concatenate([rng.uniform(0.06, 0.15, len(large)), rng.uniform(0.015, 0.04, len(small))])
    spots = blur(discs(patch.size, centres, radii, rng.uniform(0.55, 1, len(radii)), stretch=1.5), 0.006 * patch.size)
    ragged = smoothstep(0.2, 0.9, spots * (1 + 0.3 * fractal(rng, patch.size, 0.12)))
    patch.melanin += rng.uniform(1.0, 2.6) * strength * ragged * np.exp(0.35 * fractal(rng, patch.size, 0.12, 3))
    patch.cover("veil", (0.35 + 0.45 * strength) * ragged)
