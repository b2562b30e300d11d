"""The lesion's border and base colour."""

from __future__ import annotations

import math

import cv2
import numpy as np

from skinlab.phantom.fields import fractal, grid, noise, smoothstep
from skinlab.phantom.patch import Patch
from skinlab.phantom.traits import Traits


def outline(rng: np.random.Generator, size: int, traits: Traits) -> Patch:
    """Return a patch with the lesion's border: an ellipse with lobes (asymmetry), waves (irregularity) and notches.

    Args:
        rng: source of randomness.
        size: canvas width in pixels.
        traits: of the lesion.
    """
    u, v = grid(size)
    x0, y0 = rng.normal(0, 0.06, 2).tolist()
    turn, root = rng.uniform(0, math.pi), math.sqrt(traits.elongation)
    x = ((u - x0) * math.cos(turn) + (v - y0) * math.sin(turn)) / root
    y = ((v - y0) * math.cos(turn) - (u - x0) * math.sin(turn)) * root
    distance, angle = cv2.cartToPolar(x, y)
    lobes = np.zeros_like(x)
    for k in range(1, 6):
        lobes += rng.normal() / k * np.cos(k * angle + rng.uniform(0, 2 * math.pi))
    radius = traits.radius
    depth = radius * (1 + traits.asymmetry * np.clip(lobes, -1.8, 1.8)) - distance
    depth += 0.10 * radius * traits.irregularity * fractal(rng, size, 0.7 * radius, 3)
    depth += 0.03 * traits.jaggedness * fractal(rng, size, 0.12, 3)
    # The border ends in specks instead of a clean line, with varying width.
    speckle = min(0.7, 0.12 + 0.32 * traits.jaggedness)
    fade = traits.softness * np.exp(0.35 * noise(rng, size, 0.5))
    body = smoothstep(-1, 1, depth / fade + speckle * fractal(rng, size, 0.16, 3, 0.9))
    return Patch(traits, np.asarray(depth, np.float32), np.asarray(angle, np.float32), body)


def paint_ground(patch: Patch, rng: np.random.Generator) -> None:
    """Paint the lesion's base colour before any structure: brown, red and yellow, uneven by its variegation."""
    traits, size = patch.traits, patch.size
    profile = rng.uniform(-0.45, 0.6)  # paler or darker towards the centre
    shade = 1 + profile * (np.clip(patch.inner, 0, 1) - 0.45)
    clouds = fractal(rng, size, 0.8 * traits.radius, 4, 0.65)
    grain = fractal(rng, size, 0.10, 3, 0.9)
    unevenness = np.exp(traits.variegation * clouds + (0.10 + 0.15 * traits.variegation) * grain)
    patch.melanin += traits.melanin * patch.body * shade * unevenness
    redness = np.exp(0.9 * traits.variegation * fractal(rng, size, 0.6 * traits.radius, 3) + 0.1 * grain)
    patch.blood += traits.redness * patch.body * redness
    patch.keratin += traits.keratin * patch.body * np.exp(0.5 * clouds)
