"""Skin around and under the lesion: tone, mottling, furrows, follicles, freckles and fine vessels."""

from __future__ import annotations

import math

import numpy as np

from skinlab.phantom.fields import blur, discs, fractal, grid, lattice, noise, scatter, smoothstep
from skinlab.phantom.patch import Patch
from skinlab.phantom.vessels import wander


def paint_skin(patch: Patch, rng: np.random.Generator) -> None:
    """Paint healthy skin; most tones are light, as in HAM10000, and about one in twelve is brown."""
    size = patch.size
    brown = rng.random() < 0.08
    tone = rng.uniform(0.45, 1.0) if brown else np.clip(rng.lognormal(np.log(0.10), 0.6), 0.02, 0.4)
    sun = rng.beta(1.0, 2.5)
    mottle = fractal(rng, size, 0.3, 4, 0.75)
    patch.melanin += tone * (1 + 0.10 * noise(rng, size, 0.9)) + 0.16 * sun * np.maximum(mottle, 0)
    flush, unrest = rng.uniform(0.03, 0.36), rng.uniform(0.15, 0.6)
    patch.blood += flush * (1 + unrest * fractal(rng, size, 0.22, 4, 0.8)) + 0.02 * noise(rng, size, 0.035)
    patch.keratin += rng.uniform(0.0, 0.22)
    _furrows(patch, rng)
    if rng.random() < 0.35:
        _follicles(patch, rng)
    if rng.random() < 0.25 + 0.5 * sun:
        _freckles(patch, rng, sun)
    if rng.random() < 0.15 + 0.4 * sun:
        lines = wander(rng, size, count=int(rng.integers(2, 9)), width=0.017)
        patch.blood += rng.uniform(0.15, 0.5) * blur(lines, 0.012 * size)


def _furrows(patch: Patch, rng: np.random.Generator) -> None:
    """Paint the thin rhomboid lines of the skin's surface: two families of bent parallel lines."""
    u, v = grid(patch.size)
    bend = 0.045 * noise(rng, patch.size, 0.35)
    turn, opening = rng.uniform(0, math.pi), rng.uniform(0.8, 1.3)
    relief = np.zeros_like(u)
    for angle in (turn, turn + opening):
        across = u * math.cos(angle) + v * math.sin(angle) + bend
        wave = np.cos(2 * math.pi / rng.uniform(0.11, 0.17) * across)
        relief += smoothstep(0.2, 1.0, wave)
    strength = rng.uniform(0.0, 0.03)
    patch.melanin += strength * relief * smoothstep(-1, 1, noise(rng, patch.size, 0.3))


def _follicles(patch: Patch, rng: np.random.Generator) -> None:
    """Paint pores: faint pale rings with a darker point."""
    centres = lattice(rng, np.ones_like(patch.depth, bool), rng.uniform(0.24, 0.4), 0.3)
    sizes = rng.uniform(0.02, 0.035, len(centres))
    patch.cover("white", 0.22 * blur(discs(patch.size, centres, sizes * 1.6), 0.008 * patch.size))
    patch.melanin += 0.35 * discs(patch.size, centres, sizes * 0.5, rng.uniform(0.2, 1, len(centres)))


def _freckles(patch: Patch, rng: np.random.Generator, sun: float) -> None:
    """Paint small tan spots of sun-damaged skin."""
    centres = scatter(rng, patch.depth < -0.1, int(rng.integers(3, 11) + 25 * sun))
    sizes = rng.lognormal(np.log(0.035), 0.45, len(centres))
    spots = discs(patch.size, centres, sizes, rng.uniform(0.3, 1, len(centres)), stretch=1.4)
    patch.melanin += rng.uniform(0.15, 0.5) * blur(spots, 0.011 * patch.size)
