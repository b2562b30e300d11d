"""Read images of usual formats: upright, RGB, decoded at about the working size."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from skinlab.data.image_files import open_image, size_and_time
from skinlab.data.image_formats import image_format
from skinlab.errors import UserError
from skinlab.text import printable

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 178_956_970  # twice Pillow's limit of a quarter of a gigabyte at three bytes a pixel

# Only these decoders are used: others of Pillow's (such as EPS) start other programs.
Image.init()
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")
_EXIF_ORIENTATION = 0x0112
MISSING = "does not exist"
_TRUNCATED = "is truncated: its last part is missing"


class BadImage(UserError):  # noqa: N818
    """A file that can't be read as an image; `reason` says why, the message adds the place and the remedy."""

    reason: str = ""

    @classmethod
    def at(cls, path: str | os.PathLike[str], reason: str, remedy: str = "fix or remove the file") -> BadImage:
        """Return the error with the file, the reason and the remedy in one printable line."""
        error = cls(f"{printable(path)}: {reason}; {remedy}")
        error.reason = reason
        return error


def read_image(
    path: str | os.PathLike[str],
    size: int | None = None,
    fit: str = "crop",
    on_whole: Callable[[np.ndarray], None] | None = None,
) -> np.ndarray:
    """Read an image as upright RGB.

    A JPEG is decoded at the smallest of its own scales (1, 1/2, 1/4, 1/8: fewer DCT coefficients, so free of aliasing)
    that still covers `size`. 16-bit channels keep their high byte; transparent pixels become white; of several frames
    the first is read.

    Args:
        path: a JPEG, PNG, BMP, GIF, TIFF or WebP file.
        size: side of the square result in pixels; None keeps the image's own size.
        fit: "crop" scales the shorter side to `size` and cuts the centre; "stretch" scales both sides.
        on_whole: called with the upright pixels at full size, if the image was decoded at full size.

    Returns:
        uint8 array (H, W, 3); (size, size, 3) with a size.

    Raises:
        BadImage: missing, empty, truncated, too large, not an image, or its pixels have no known scale.
    """
    return read_with_kind(path, size, fit, on_whole)[0]


def read_with_kind(
    path: str | os.PathLike[str],
    size: int | None = None,
    fit: str = "crop",
    on_whole: Callable[[np.ndarray], None] | None = None,
) -> tuple[np.ndarray, str]:
    """Read an image as `read_image` does; return it with how it was stored: "JPEG RGB turned", "TIFF L frames"."""
    try:
        size_in_bytes, _ = size_and_time(path)
        if size_in_bytes < 0:  # opening a pipe would block
            raise BadImage.at(path, "is not a file")
        if size_in_bytes == 0:
            raise BadImage.at(path, "is empty")
        with open_image(path) as file, Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError  # by the header, before anything is decoded
            kind, stored = f"{image.format} {image.mode}", image.size
            rgb, extent = _decoded(image, path, size)
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
            if on_whole is not None and rgb.size == stored:
                on_whole(_upright(np.array(rgb), orientation))
            pixels = _framed(rgb, extent, size, fit) if size else np.array(rgb)
            # The second picture of an MPO is a camera's preview.
            frames = " frames" if image.format != "MPO" and getattr(image, "is_animated", False) else ""
            return _upright(pixels, orientation), kind + frames + (" turned" if orientation in range(2, 9) else "")
    except BadImage:
        raise
    except FileNotFoundError as error:
        raise BadImage.at(path, MISSING, "put it back") from error
    except UnidentifiedImageError as error:
        kind = image_format(path)
        instead = f", but {kind}: convert it to JPEG or PNG" if kind and kind.upper() not in _FORMATS else ""
        raise BadImage.at(path, f"is not a whole JPEG, PNG, BMP, GIF, TIFF or WebP image{instead}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage.at(path, f"has more than {MAX_PIXELS // 10**6} million pixels") from error
    except Exception as error:  # a decoder may fail in any way on a damaged or hostile file
        raise BadImage.at(path, _failure(error)) from error


def read_jpeg(path: str | os.PathLike[str], side: int, quality: int = 85) -> bytes:
    """Return a JPEG of the whole image, upright, its longer side at most `side` pixels.

    Raises:
        BadImage: as `read_image` does.
    """
    pixels = read_image(path)
    scale = min(side / max(pixels.shape[:2]), 1)
    size = [max(round(scale * length), 1) for length in pixels.shape[1::-1]]
    content = io.BytesIO()
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    Image.fromarray(resized).save(content, "JPEG", quality=quality)
    return content.getvalue()


def _failure(error: Exception) -> str:
    """Return the reason of a `BadImage` for an error of the file system or a decoder."""
    if isinstance(error, OSError) and error.strerror:
        return f"can't be opened ({error.strerror})"
    if "truncated" in str(error).lower():
        return _TRUNCATED
    return f"can't be decoded ({printable(str(error)) or type(error).__name__})"


def _decoded(
    image: Image.Image, path: str | os.PathLike[str], size: int | None
) -> tuple[Image.Image, tuple[float, float]]:
    """Decode an opened image at the smallest scale that covers `size`; return it with its extent in reduced pixels.

    The extent of a JPEG of odd width is a fraction: it ends within the last of its reduced pixels.
    """
    draft = image.draft("RGB", (size, size)) if size else None
    # The decoder's name for the stored pixels, such as "RGB;16B".
    deep = image.mode.startswith("I;16") or ";16" in str(getattr(image, "tile", ())[:1])
    image.load()
    if deep:
        _check_scale(image, path)
    rgb = _as_rgb(image)
    corner = rgb.getpixel((rgb.width - 1, rgb.height - 1))
    if corner == (128, 128, 128) and image.format == "JPEG" and _ends_in_grey(path):
        raise BadImage.at(path, _TRUNCATED)
    return rgb, draft[1][2:] if draft else rgb.size


def _framed(rgb: Image.Image, extent: tuple[float, float], size: int, fit: str) -> np.ndarray:
    """Crop and scale a decoded image to (size, size), not yet turned upright."""
    width, height = extent
    side = min(width, height)
    ratio_x, ratio_y = (side / size, side / size) if fit == "crop" else (width / size, height / size)
    blocks = max(1, int(ratio_x)), max(1, int(ratio_y))
    if blocks != (1, 1):  # average whole blocks; bilinear interpolation by less than 2 to 1 does not alias
        rgb = rgb.reduce(blocks)
        width, ratio_x = width / blocks[0], ratio_x / blocks[0]
        height, ratio_y = height / blocks[1], ratio_y / blocks[1]
    left, top = (width - ratio_x * size) / 2, (height - ratio_y * size) / 2

    pixels = np.array(rgb)
    if ratio_x == ratio_y == 1 and left.is_integer() and top.is_integer():
        return pixels[int(top) : int(top) + size, int(left) : int(left) + size]
    matrix = np.array([[ratio_x, 0, left + (ratio_x - 1) / 2], [0, ratio_y, top + (ratio_y - 1) / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    resized: np.ndarray = cv2.warpAffine(pixels, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return resized


def _check_scale(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Refuse 16-bit pixels with values of 10 to 14 bits, as some cameras write them: the image would be black.

    No well exposed photograph has all values below a quarter of the range.
    """
    values = np.asarray(image)
    peak = int(values.max()) >> 8 if values.ndim == 2 else int(values[..., : 1 if image.mode == "LA" else 3].max())
    for bits in (8, 10, 12, 14):
        if peak < 1 << (bits - 8):
            reason = f"has {bits}-bit values in 16-bit pixels, so it comes out black: save it with 8 bits"
            raise BadImage.at(path, reason)


def _as_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to RGB; a mode without a known scale raises ValueError."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no known scale: save it with 8 or 16 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")


def _ends_in_grey(path: str | os.PathLike[str]) -> bool:
    """Return whether a JPEG's data end before its picture: libjpeg then fills the rest with grey, without an error.

    The grey may also be in the picture. So bytes are inserted before the end marker: they change an incomplete picture
    but not a complete one.
    """
    with open_image(path) as file:
        data = file.read()
    end = data.rfind(b"\xff\xd9")
    longer = data[:end] + bytes(range(1, 251)) * 4 + data[end:]
    before, after = (np.asarray(Image.open(io.BytesIO(each), formats=_FORMATS)) for each in (data, longer))
    return not np.array_equal(before, after)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels upright by their EXIF orientation, 1 (upright) to 8; other values change nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
