"""Dermatoscopes: the colour cast, vignette, sharpness, noise and rates of artefacts of each source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from skinlab.phantom.fields import Map, blur, smoothstep


@dataclass(frozen=True)
class Device:
    """A source of images.

    Attributes:
        share: of the lesions.
        gain: of red, green and blue.
        saturation: of colour, 1 leaves it.
        vignette: share of light lost at the corners.
        round_field: probability of a dark round edge.
        resolution: optical resolution relative to the picture's pixels.
        grain: sensor noise, from 0 to 1.
        rates: probability of each artefact.
    """

    share: float
    gain: tuple[float, float, float]
    saturation: float
    vignette: float
    round_field: float
    resolution: float
    grain: float
    rates: Mapping[str, float]


_ARTEFACTS = ("hair", "ruler", "bubbles", "ink")
# share, gain, saturation, vignette, round field, resolution, grain; rates of the artefacts
DEVICES = {
    name: Device(*optics, dict(zip(_ARTEFACTS, rates, strict=True)))
    for name, optics, rates in (
        ("polarised", (0.36, (0.9, 1.0, 1.08), 0.95, 0.22, 0.15, 1.0, 0.008), (0.35, 0.2, 0.05, 0.06)),
        ("videoscope", (0.32, (1.04, 0.9, 0.92), 1.18, 0.06, 0.0, 0.62, 0.006), (0.3, 0.02, 0.15, 0.02)),
        ("contact", (0.23, (0.97, 1.03, 1.04), 1.02, 0.14, 0.3, 0.9, 0.01), (0.4, 0.25, 0.4, 0.08)),
        ("slide", (0.09, (1.03, 0.99, 0.9), 1.1, 0.3, 0.5, 0.75, 0.014), (0.35, 0.08, 0.3, 0.03)),
    )
}


def light(rgb: Map, rng: np.random.Generator) -> Map:
    """Light a view with random exposure, colour temperature and a gradient from one side."""
    size = len(rgb)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    direction = rng.uniform(0, 2 * math.pi)
    slope = rng.uniform(0, 0.08) * (math.cos(direction) * axis[None, :] + math.sin(direction) * axis[:, None])
    warmth = rng.normal(0, 0.022)
    tint = rng.uniform(0.88, 1.10) * np.array([1 + warmth, 1 - 0.3 * abs(warmth), 1 - warmth])
    return np.asarray(rgb * (1 + slope[..., None]) * tint.astype(np.float32), np.float32)


def expose(rgb: Map, device: Device, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a lit view (size, size, 3) as photographed by a device: optics, colour, vignette, noise, eight bits."""
    size = len(rgb)
    fineness = device.resolution * rng.uniform(0.85, 1.0)
    if fineness < 0.97:
        rgb = blur(rgb, 0.42 / fineness)
    gray = rgb @ np.array([[0.3], [0.59], [0.11]], np.float32)
    colour = gray + device.saturation * rng.uniform(0.92, 1.08) * (rgb - gray)
    gain = np.array(device.gain) * np.exp(rng.normal(0, 0.02, 3))
    axis = np.linspace(-1, 1, size, dtype=np.float32) + rng.normal(0, 0.04)
    away = axis[None, :] ** 2 + axis[:, None] ** 2
    falloff = 1 - device.vignette * rng.uniform(0.6, 1.1) / 2 * away
    if rng.random() < device.round_field:
        edge = rng.uniform(1.22, 1.40)
        falloff *= 0.03 + 0.97 * smoothstep(edge + 0.035, edge - 0.035, np.sqrt(away))
    colour = _shoulder(colour * gain.astype(np.float32) * falloff[..., None].astype(np.float32))
    grain = cv2.blur(rng.standard_normal((size, size), dtype=np.float32), (2, 2))
    colour += 1.6 * device.grain * np.asarray(grain, np.float32)[..., None]
    return np.asarray(np.clip(colour * 255 + 0.5, 0, 255), np.uint8)


def _shoulder(x: Map) -> Map:
    """Compress values above 0.8 towards white instead of clipping them."""
    excess = np.maximum(x - 0.8, 0)
    return np.asarray(x - 0.9 * excess * excess, np.float32)
