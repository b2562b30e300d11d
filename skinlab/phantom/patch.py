"""A patch of skin as layers of absorbers, and its colour.

Colour follows Beer and Lambert: each absorber attenuates red, green and blue by its own exponent, so that thin melanin
is tan, thick melanin nearly black, and melanin over blood reddish brown. Melanin deep in the dermis is blue-gray
(Tyndall scattering), and scars, cysts and scales scatter white: these two layers cover those below.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from skinlab.phantom.fields import Map, Values
from skinlab.phantom.traits import Traits

# Absorbance of red, green, blue per unit of each layer, fitted by eye to median lesion colours of HAM10000.
_MELANIN = (0.33, 0.61, 0.74)
_BLOOD = (0.10, 0.70, 0.46)
_KERATIN = (0.05, 0.17, 0.42)
_DERMIS = np.array([0.97, 0.895, 0.885], np.float32)
_DEEPEST = np.array([0.10, 0.065, 0.075], np.float32)
_VEIL = np.array([0.33, 0.36, 0.45], np.float32)
_SCATTER = np.array([0.95, 0.90, 0.88], np.float32)


@dataclass
class Patch:
    """Layers of a patch of skin, each (size, size), to which structures are added.

    Attributes:
        traits: of the lesion.
        depth: distance from the lesion's border in units, positive inside.
        angle: direction from the lesion's centre, radians.
        body: 0 outside the lesion, 1 inside, with a soft border.
        melanin: brown pigment, absorbance.
        blood: red, absorbance.
        keratin: yellow-brown horn and serum, absorbance.
        veil: opacity of blue-gray deep pigment, 0 to 1.
        white: opacity of white scatter, 0 to 1.
    """

    traits: Traits
    depth: Map
    angle: Map
    body: Map
    melanin: Map = field(init=False)
    blood: Map = field(init=False)
    keratin: Map = field(init=False)
    veil: Map = field(init=False)
    white: Map = field(init=False)

    def __post_init__(self) -> None:
        for layer in ("melanin", "blood", "keratin", "veil", "white"):
            setattr(self, layer, np.zeros_like(self.depth))

    @property
    def size(self) -> int:
        """Width of the canvas in pixels."""
        return len(self.depth)

    @property
    def inner(self) -> Map:
        """Depth relative to the lesion's radius: 0 at the border, about 1 at the centre."""
        return np.asarray(self.depth / self.traits.radius, np.float32)

    def cover(self, layer: str, opacity: Values) -> None:
        """Raise `veil` or `white` to at least `opacity`."""
        np.maximum(getattr(self, layer), opacity.astype(np.float32), out=getattr(self, layer))

    def clear(self, amount: Map) -> None:
        """Reduce the pigment by `amount` (0 to 1), as in a scar."""
        self.melanin *= 1 - amount

    def colour(self) -> Map:
        """Return the colour of the patch, (size, size, 3), RGB from 0 to 1."""
        layers = cv2.merge([np.maximum(layer, 0) for layer in (self.melanin, self.blood, self.keratin)])
        transmitted = cv2.exp(cv2.transform(layers, -np.array([_MELANIN, _BLOOD, _KERATIN], np.float32).T))
        rgb = np.asarray(_DEEPEST + (_DERMIS - _DEEPEST) * transmitted, np.float32)
        if self.veil.max() > 0:  # a haze, lighter or darker with the layers below
            haze = _VEIL * (0.75 + 0.6 * rgb[..., 1:2])
            rgb += np.clip(self.veil, 0, 1)[..., None] * (haze - rgb)
        if self.white.max() > 0:
            rgb += np.clip(self.white, 0, 1)[..., None] * (_SCATTER - rgb)
        return rgb
