"""Draw a lesion, and photograph it: a picture and its mask from random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from skinlab.phantom import pigment, surface, vessels
from skinlab.phantom.artefacts import ARTEFACTS
from skinlab.phantom.devices import DEVICES, expose, light
from skinlab.phantom.fields import Map, canvas_size
from skinlab.phantom.outline import outline, paint_ground
from skinlab.phantom.patch import Patch
from skinlab.phantom.skin import paint_skin
from skinlab.phantom.traits import STRUCTURES, draw_traits

Paint = Callable[[Patch, np.random.Generator, float], None]
_PAINTS: dict[str, Paint] = {
    name: getattr(module, name)
    for name in STRUCTURES
    for module in (pigment, vessels, surface)
    if hasattr(module, name)
}
# Random streams within (seed, lesion, view): with or without one of these the others are the same.
STREAMS = ("lesion", "camera", "light", "device", "choice", *ARTEFACTS)


@dataclass(frozen=True)
class Lesion:
    """A drawn lesion: colour of its patch of skin (canvas, canvas, 3), mask (canvas, canvas), names of structures."""

    colour: Map
    mask: Map
    structures: tuple[str, ...]


def stream(seed: int, lesion: int, view: int, name: str) -> np.random.Generator:
    """Return the generator of one named stream; view 0 is the lesion itself, its images are numbered from 1."""
    return np.random.default_rng([seed, lesion, view, 1 + STREAMS.index(name)])


def draw_lesion(seed: int, lesion: int, dx: str, image_size: int) -> Lesion:
    """Draw a lesion of class `dx` on a patch of skin that is wider than its pictures."""
    rng = stream(seed, lesion, 0, "lesion")
    traits, strengths = draw_traits(rng, dx)
    patch = outline(rng, canvas_size(image_size), traits)
    paint_skin(patch, rng)
    paint_ground(patch, rng)
    for name, strength in strengths.items():
        _PAINTS[name](patch, rng, strength)
    return Lesion(patch.colour(), (patch.depth > 0).astype(np.float32), tuple(strengths))


def draw_view(
    lesion: Lesion, seed: int, number: int, view: int, device: str, artefacts: Sequence[str], image_size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a picture and mask of a lesion: rotated, shifted, tilted, lit and taken by a device.

    Args:
        lesion: as drawn.
        seed: of the data set.
        number: of the lesion.
        view: of the lesion, from 1.
        device: a key of `DEVICES`.
        artefacts: keys of `ARTEFACTS`, those in the picture.
        image_size: width in pixels.

    Returns:
        The picture (image_size, image_size, 3) RGB and the mask (image_size, image_size), 0 or 255.
    """
    place = _camera(stream(seed, number, view, "camera"), image_size)
    shape = (image_size, image_size)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(lesion.colour, place, shape, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    picture = np.asarray(warped, np.float32)
    mask = cv2.warpAffine(lesion.mask, place, shape, flags=flags)
    for name in ARTEFACTS:
        if name in artefacts:
            ARTEFACTS[name](picture, stream(seed, number, view, name))
    picture = light(picture, stream(seed, number, view, "light"))
    photo = expose(picture, DEVICES[device], stream(seed, number, view, "device"))
    return photo, np.where(mask > 0.5, 255, 0).astype(np.uint8)


def _camera(rng: np.random.Generator, image_size: int) -> NDArray[np.float64]:
    """Return an affine map (2, 3) from picture pixels to canvas pixels: turn, zoom, tilt and shift."""
    turn, tilt, axis = rng.uniform(0, 2 * np.pi), rng.uniform(0.92, 1.0), rng.uniform(0, np.pi)
    zoom = np.exp(rng.normal(0, 0.10))
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    lean = np.array([[np.cos(axis), -np.sin(axis)], [np.sin(axis), np.cos(axis)]])
    matrix = spin @ lean @ np.diag([1, 1 / tilt]) @ lean.T / zoom
    middle = np.full(2, (image_size - 1) / 2)
    target = np.full(2, (canvas_size(image_size) - 1) / 2) + rng.normal(0, 0.07, 2) * image_size / 2
    return np.column_stack([matrix, target - matrix @ middle])
