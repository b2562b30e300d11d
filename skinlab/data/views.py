"""Augmentations of the views for self-supervised pretraining.

`ssl_default` has the distribution of SimCLR's augmentations as in torchvision and lightly; `ssl_derm` changes colour
less, since it is diagnostic in dermoscopy, and rotates by any angle, since dermoscopic images have no upright.
"""

from __future__ import annotations

import math
import random
from typing import Any

import albumentations as A  # noqa: N812
import cv2
import numpy as np
import numpy.typing as npt

from skinlab.data.transforms import IDENTITY, LUMA, ColourJitter, Image
from skinlab.errors import UserError

RATIO = (3 / 4, 4 / 3)  # width to height, as Inception's crops (Szegedy et al. 2015) and torchvision's default
Range = tuple[float, float]


def ssl_default(size: int, scale: Range = (0.08, 1.0)) -> A.Compose:
    """Return SimCLR's views (Chen et al. 2020, arXiv 2002.05709) with the defaults of lightly's SimCLRTransform.

    Args:
        size: Side of the view in pixels.
        scale: Smallest and largest share of the image's area that a crop takes.
    """
    return A.Compose(
        [
            Crop(size, scale, enlarge=False),  # colours change on the fewer pixels of a small window
            StepwiseJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8),
            Grey(p=0.2),
            Enlarge(size),
            Blur(sigma=(0.1, 2.0), p=0.5),
        ],
        is_check_shapes=False,
    )


def ssl_derm(size: int, scale: Range = (0.3, 1.0)) -> A.Compose:
    """Return views for dermoscopy: any rotation, milder crops, hue within 5 % of the circle, no grey images.

    Args:
        size: Side of the view in pixels.
        scale: Smallest and largest share of the image's area that a crop takes.
    """
    return A.Compose(
        [
            Crop(size, scale, rotate=180),
            ColourJitter(brightness=0.3, contrast=0.3, saturation=0.2, hue=0.05 * 360, p=0.8),
            Blur(sigma=(0.1, 2.0), p=0.5),
        ],
        is_check_shapes=False,
    )


class Crop(A.ImageOnlyTransform):  # type: ignore[misc]
    """A random crop, mirrored half the time and turned, in a single interpolation with mirrored borders.

    Unlike Pillow's, the interpolation does not smooth: images are read at little more than the working size.

    Args:
        size: Side of the output in pixels.
        scale: Smallest and largest share of the image's area.
        rotate: Largest rotation of the cropped window in degrees, either way.
        enlarge: Whether a window of fewer pixels than the view is enlarged; otherwise `Enlarge` does it later.
    """

    def __init__(self, size: int, scale: Range = (0.08, 1.0), rotate: float = 0, enlarge: bool = True) -> None:
        super().__init__(p=1.0)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise UserError(
                f"a crop's scale of {scale[0]} to {scale[1]} is no range of shares: use 0 < low <= high <= 1"
            )
        self.size, self.scale, self.rotate, self.enlarge = size, (scale[0], scale[1]), rotate, enlarge

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the window, whether to mirror it, and the angle."""
        height, width = params["shape"][:2]
        return {
            "window": crop_window(height, width, self.scale, self.py_random),
            "mirror": self.py_random.random() < 0.5,
            "angle": math.radians(self.py_random.uniform(-self.rotate, self.rotate)),
        }

    def apply(self, img: Image, window: tuple[int, int, int, int], mirror: bool, angle: float, **params: Any) -> Image:
        """Scale the window to the working size."""
        left, top, width, height = window
        size = (self.size, self.size)
        if angle == 0:  # three times as fast as a warp
            cut = img[top : top + height, left : left + width]
            resized = cut if width * height < self.size**2 and not self.enlarge else cv2.resize(cut, size)
            return np.asarray(cv2.flip(resized, 1) if mirror else resized, np.uint8)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        matrix = window_map(window, self.size, mirror, angle)
        return np.asarray(cv2.warpAffine(img, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


class Enlarge(A.ImageOnlyTransform):  # type: ignore[misc]
    """Bring a window that `Crop` has not enlarged to the size of the view.

    Args:
        size: Side of the output in pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__(p=1.0)
        self.size = size

    def apply(self, img: Image, **params: Any) -> Image:
        """Scale with bilinear interpolation."""
        size = (self.size, self.size)
        return img if img.shape[:2] == size else np.asarray(cv2.resize(img, size), np.uint8)


def crop_window(height: int, width: int, scale: Range, draw: random.Random) -> tuple[int, int, int, int]:
    """Draw a window of uniform area and log-uniform shape, as torchvision's RandomResizedCrop does.

    Args:
        height: Of the image, in pixels.
        width: Likewise.
        scale: Smallest and largest share of the image's area.
        draw: Source of randomness.

    Returns:
        left, top, width and height in pixels.
    """
    for _ in range(10):
        area = height * width * draw.uniform(*scale)
        ratio = math.exp(draw.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            return draw.randint(0, width - across), draw.randint(0, height - down), across, down
    across, down = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    return (width - across) // 2, (height - down) // 2, across, down


def window_map(window: tuple[int, int, int, int], size: int, mirror: bool, angle: float) -> npt.NDArray[np.float64]:
    """Return the map from output pixels to input pixels of a window turned about its centre, (2, 3).

    Args:
        window: left, top, width and height in pixels.
        size: Side of the output in pixels.
        mirror: Whether to flip it horizontally.
        angle: In radians.
    """
    left, top, width, height = window
    cos, sin = math.cos(angle), math.sin(angle)
    across, down = (-width if mirror else width) / size, height / size
    linear = np.array([[cos * across, -sin * down], [sin * across, cos * down]])
    centre = np.array([left + (width - 1) / 2, top + (height - 1) / 2])
    return np.column_stack([linear, centre - linear.sum(axis=1) * (size - 1) / 2])


class StepwiseJitter(A.ImageOnlyTransform):  # type: ignore[misc]
    """Brightness, contrast, saturation and hue in random order, each step clipped, as torchvision's ColorJitter.

    At SimCLR's strength clipping and order change the result much, so that a single matrix product (`ColourJitter`)
    has another distribution.

    Args:
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of the spread about the image's mean luma.
        saturation: Largest relative change of the distance from grey.
        hue: Largest turn of the HSV hue, as a share of the circle.
        p: Probability of the transform.
    """

    def __init__(self, brightness: float, contrast: float, saturation: float, hue: float, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def get_params(self) -> dict[str, Any]:
        """Draw the order of the steps and the amount of each."""
        uniform, relative = self.py_random.uniform, (self.brightness, self.contrast, self.saturation)
        amounts = [1 + uniform(-each, each) for each in relative] + [uniform(-self.hue, self.hue)]
        steps = list(zip((_brighten, _stretch, _saturate, _turn_hue), amounts, strict=True))
        self.py_random.shuffle(steps)
        return {"steps": steps}

    def apply(self, img: Image, steps: list[tuple[Any, float]], **params: Any) -> Image:
        """Apply the steps in turn."""
        for step, amount in steps:
            img = step(img, amount)
        return img


def _brighten(img: Image, factor: float) -> Image:
    return np.asarray(cv2.convertScaleAbs(img, alpha=factor), np.uint8)


def _stretch(img: Image, factor: float) -> Image:
    """Stretch the contrast about the mean luma."""
    pivot = LUMA @ cv2.mean(img)[:3]
    return np.asarray(
        cv2.transform(img, np.column_stack([factor * IDENTITY, np.full(3, (1 - factor) * pivot)])), np.uint8
    )


def _saturate(img: Image, factor: float) -> Image:
    return np.asarray(cv2.transform(img, factor * IDENTITY + (1 - factor) * LUMA), np.uint8)


def _turn_hue(img: Image, turn: float) -> Image:
    """Turn the hue by a share of the circle."""
    hsv = cv2.cvtColor(img, cv2.COLOR_RGB2HSV_FULL)
    rows = hsv.reshape(len(hsv), -1)  # whole rows are added twice as fast as every third byte
    rows += np.tile(np.array([round(turn * 256) % 256, 0, 0], np.uint8), hsv.shape[1])  # the hue wraps as a byte does
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.uint8)


class Grey(A.ImageOnlyTransform):  # type: ignore[misc]
    """The image's luma in all three channels."""

    def apply(self, img: Image, **params: Any) -> Image:
        """Return the grey image."""
        return np.asarray(cv2.cvtColor(cv2.cvtColor(img, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


class Blur(A.ImageOnlyTransform):  # type: ignore[misc]
    """A Gaussian blur.

    Args:
        sigma: Smallest and largest standard deviation in pixels of the view.
        p: Probability of the transform.
    """

    def __init__(self, sigma: Range, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.sigma = sigma

    def get_params(self) -> dict[str, Any]:
        """Draw the standard deviation."""
        return {"sigma": self.py_random.uniform(*self.sigma)}

    def apply(self, img: Image, sigma: float, **params: Any) -> Image:
        """Blur with borders mirrored, at half the time of cv2.GaussianBlur, from which it differs by two levels."""
        kernel = cv2.getGaussianKernel(round(6 * sigma + 1) | 1, sigma, cv2.CV_32F)
        return np.asarray(cv2.sepFilter2D(img, -1, kernel, kernel), np.uint8)
