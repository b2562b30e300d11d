"""Augmentation presets over uint8 RGB images.

They do not include normalisation, which is done once per batch on the device. `Warp` and `ColourJitter` replace eight
albumentations transforms by one interpolation and one matrix product, since on a CPU the time of augmentation is that
of Python calls and of passes over the image.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise its import looks for a newer version on the network

import albumentations as A  # noqa: N812
import cv2
import numpy as np
import numpy.typing as npt

from skinlab.alterations.artefacts import ARTEFACTS, draw
from skinlab.alterations.augmix import augmix as mix_chains
from skinlab.alterations.colour import shades_of_gray as remove_light

Image = npt.NDArray[np.uint8]

IDENTITY = np.eye(3)
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
GREY = np.full((3, 3), 1 / 3)  # projects a colour onto the grey axis
# Rotation of a colour about that axis by Rodrigues' formula
ROTATE = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)


def none(size: int) -> A.Compose:
    """Return the image at the working size without augmentation."""
    return _compose([A.Resize(size, size)])


def light(size: int) -> A.Compose:
    """Return one of the square's eight symmetries, a small affine map, mild brightness and contrast."""
    return _compose(
        [
            Warp(size, rotate=15, scale=0.1, shear=0, translate=0.05),
            ColourJitter(brightness=0.1, contrast=0.1, saturation=0, hue=0),
        ]
    )


def heavy(size: int, strength: float = 1.0) -> A.Compose:
    """Return strong geometry, colour jitter, blur or compression, and dropped patches.

    Hue changes by a few degrees only, since colour is diagnostic.

    Args:
        size: Working size in pixels.
        strength: Factor of every range; 0 for the symmetries of the square alone.
    """
    return _strong(size, [_jitter(strength)], strength)


def colour(size: int) -> A.Compose:
    """Return `heavy` with about twice its range of colours, and random white balance."""
    jitter = ColourJitter(brightness=0.4, contrast=0.4, saturation=0.5, hue=12, white_balance=0.2)
    return _strong(size, [jitter])


def shades_of_gray(size: int) -> A.Compose:
    """Return `heavy` where the colour of the light is removed from every second image (Galdran et al., 1703.03702)."""
    return _strong(size, [Altered(_without_light, p=0.5), _jitter()])


def augmix(size: int) -> A.Compose:
    """Return `heavy` with AugMix in place of its colour jitter, see :func:`skinlab.alterations.augmix.augmix`."""
    return _strong(size, [Altered(mix_chains)])


def fourier(size: int) -> A.Compose:
    """Return `heavy`, for ``augment.amplitude_mix``, which mixes the images of a batch afterwards."""
    return heavy(size)


def artefacts(size: int) -> A.Compose:
    """Return `heavy` with one or two artefacts drawn onto every second image at a random dose."""
    return _strong(size, [Altered(_with_artefacts, p=0.5), _jitter()])


def _without_light(image: Image, _: np.random.Generator) -> Image:
    return remove_light(image)


def _with_artefacts(image: Image, rng: np.random.Generator) -> Image:
    for name in rng.choice(list(ARTEFACTS), size=rng.integers(1, 3), replace=False):
        image = draw(name, image, rng.uniform(0.2, 1), rng)
    return image


def _jitter(strength: float = 1.0) -> ColourJitter:
    return ColourJitter(brightness=0.2 * strength, contrast=0.2 * strength, saturation=0.2 * strength, hue=6 * strength)


def _strong(size: int, colours: list[A.BasicTransform], strength: float = 1.0) -> A.Compose:
    """Return strong geometry, then what changes colours, blur or compression, and dropped patches."""
    return _compose(
        [
            Warp(size, rotate=45 * strength, scale=0.25 * strength, shear=10 * strength, translate=0.1 * strength),
            *colours,
            A.OneOf(
                [
                    A.GaussianBlur(sigma_limit=(0.3, 1.5), blur_limit=0),
                    A.ImageCompression(quality_range=(40, 90)),
                    A.Downscale(
                        scale_range=(0.5, 0.8),
                        interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
                    ),
                ],
                p=min(1.0, 0.2 * strength),
            ),
            A.CoarseDropout(
                num_holes_range=(1, 4),
                hole_height_range=(0.05, 0.2),
                hole_width_range=(0.05, 0.2),
                fill=128,
                p=min(1.0, 0.5 * strength),
            ),
        ]
    )


class Warp(A.DualTransform):  # type: ignore[misc]
    """One of the square's eight symmetries and a random affine map, in a single interpolation with mirrored borders.

    Args:
        size: Side of the output in pixels; an input of any other size is scaled to it by the same map.
        rotate: Largest rotation in degrees, either way.
        scale: Largest relative zoom, in or out.
        shear: Largest shear in degrees, either way.
        translate: Largest shift along each axis, as a share of the side.
        p: Probability of the affine part; the symmetry is always drawn.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    def __init__(
        self, size: int, rotate: float = 0, scale: float = 0, shear: float = 0, translate: float = 0, p: float = 1.0
    ) -> None:
        super().__init__(p=p)
        self.size, self.rotate, self.scale, self.shear, self.translate = size, rotate, scale, shear, translate

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the affine map from output pixels to input pixels."""
        uniform = self.py_random.uniform
        angle = math.radians(uniform(-self.rotate, self.rotate))
        zoom = (1 + self.scale) ** uniform(-1, 1)
        shear = math.tan(math.radians(uniform(-self.shear, self.shear)))
        cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
        across, down = (cos, cos * shear - sin), (sin, sin * shear + cos)
        symmetry = self.py_random.randrange(8)
        if symmetry & 4:
            across, down = down, across
        height, width = params["shape"][:2]
        rows = []
        for (x, y), side in ((across, width), (down, height)):
            x, y = (x if symmetry & 1 else -x) * side / self.size, (y if symmetry & 2 else -y) * side / self.size
            centre = (side - 1) / 2 + uniform(-self.translate, self.translate) * side
            rows.append((x, y, centre - (x + y) * (self.size - 1) / 2))
        return {"matrix": np.array(rows)}

    def apply(self, img: Image, matrix: npt.NDArray[np.float64], **params: Any) -> Image:
        """Warp an image with bilinear interpolation."""
        return self._warp(img, matrix, cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: Image, matrix: npt.NDArray[np.float64], **params: Any) -> Image:
        """Warp a mask without mixing its values."""
        return self._warp(mask, matrix, cv2.INTER_NEAREST)

    def _warp(self, img: Image, matrix: npt.NDArray[np.float64], interpolation: int) -> Image:
        flags, size = interpolation | cv2.WARP_INVERSE_MAP, (self.size, self.size)
        return np.asarray(cv2.warpAffine(img, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


class ColourJitter(A.ImageOnlyTransform):  # type: ignore[misc]
    """Random brightness, contrast, saturation, hue and white balance as one matrix product.

    Args:
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of the spread about the image's mean luma.
        saturation: Largest relative change of the distance from grey.
        hue: Largest rotation about the grey axis, in degrees.
        white_balance: Largest relative change of red and of blue against green.
        p: Probability of the transform.
    """

    def __init__(
        self,
        brightness: float = 0,
        contrast: float = 0,
        saturation: float = 0,
        hue: float = 0,
        white_balance: float = 0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.white_balance = white_balance

    def get_params(self) -> dict[str, Any]:
        """Draw the 3 x 3 colour matrix and the contrast, which is about a mean of the image."""
        uniform = self.py_random.uniform
        brightness = 1 + uniform(-self.brightness, self.brightness)
        contrast = 1 + uniform(-self.contrast, self.contrast)
        saturation = 1 + uniform(-self.saturation, self.saturation)
        angle = math.radians(uniform(-self.hue, self.hue))
        rotation = math.cos(angle) * (IDENTITY - GREY) + math.sin(angle) * ROTATE + GREY
        matrix = brightness * (saturation * IDENTITY + (1 - saturation) * LUMA) @ rotation
        if self.white_balance:
            red, blue = (1 + uniform(-self.white_balance, self.white_balance) for _ in range(2))
            matrix = matrix * (red, 1, blue)
        return {"matrix": matrix, "contrast": contrast}

    def apply(self, img: Image, matrix: npt.NDArray[np.float64], contrast: float, **params: Any) -> Image:
        """Apply the colour matrix and stretch contrast about the mean luma."""
        affine = np.empty((3, 4))
        affine[:, :3] = contrast * matrix
        affine[:, 3] = (1 - contrast) * (LUMA @ matrix @ cv2.mean(img)[:3])
        return np.asarray(cv2.transform(img, affine), np.uint8)


class Altered(A.ImageOnlyTransform):  # type: ignore[misc]
    """A random alteration of an image.

    Args:
        alter: From an image (S, S, 3) and random numbers to the altered image.
        p: Probability of the transform.
    """

    def __init__(self, alter: Callable[[Image, np.random.Generator], Image], p: float = 1.0) -> None:
        super().__init__(p=p)
        self.alter = alter

    def apply(self, img: Image, **params: Any) -> Image:
        """Alter an image."""
        return self.alter(img, self.random_generator)


def _compose(transforms: list[A.BasicTransform | A.BaseCompose]) -> A.Compose:
    return A.Compose(transforms, is_check_shapes=False)
