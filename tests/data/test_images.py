import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from skinlab.data.images import BadImage, read_image, read_jpeg
from skinlab.text import printable


def picture(width: int, height: int) -> np.ndarray:
    """Smooth colours without any symmetry, so that every wrong turn, shift or channel shows."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    waves = [128 + 100 * np.sin(5 * x + 2 * y), 60 + 150 * y, 40 + 200 * x * (1 - y)]
    return np.stack(waves, axis=-1).clip(0, 255).astype(np.uint8)


def save(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def area_resized(pixels: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Full-resolution reference: every source pixel split in two, so that half-pixel crops are exact."""
    height, width = pixels.shape[:2]
    doubled = pixels.repeat(2, axis=0).repeat(2, axis=1)
    if fit == "crop":
        side = min(width, height)
        doubled = doubled[height - side : height + side, width - side : width + side]
    return cv2.resize(doubled, (size, size), interpolation=cv2.INTER_AREA)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize("shape", [(256, 256), (257, 301), (301, 257), (600, 450), (96, 33), (40, 50), (1100, 700)])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_reduced_decode_frames_as_full_decode(tmp_path, shape, fit):
    path = save(tmp_path / "a.jpg", picture(*shape), quality=95)
    full = read_image(path)
    assert full.shape == (shape[1], shape[0], 3)
    small = read_image(path, 64, fit)
    assert small.shape == (64, 64, 3)
    assert small.dtype == np.uint8
    assert difference(small, area_resized(full, 64, fit)) < 1.0


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("size", [31, 100, 128])
def test_fine_noise_is_averaged_not_sampled(tmp_path, suffix, size):
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 1), dtype=np.uint8).repeat(3, axis=2)
    path = save(tmp_path / f"a.{suffix}", noise, **({"quality": 95} if suffix == "jpg" else {}))
    # white noise of spread 74 averaged over n pixels keeps a spread of 74 / sqrt(n)
    assert read_image(path, size).std() < 1.6 * 74 * size / 512


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation_is_undone(tmp_path, orientation, suffix):
    upright = picture(90, 60)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", np.ascontiguousarray(stored), exif=exif, quality=95)
    assert difference(read_image(path), upright) < 4
    for fit in ("crop", "stretch"):
        assert difference(read_image(path, 24, fit), area_resized(upright, 24, fit)) < 4


def test_exact_reduction_equals_the_decoders_own(tmp_path):
    path = save(tmp_path / "a.jpg", picture(256, 256))
    image = Image.open(path)
    image.draft("RGB", (128, 128))
    np.testing.assert_array_equal(read_image(path, 128), np.asarray(image))


def test_result_is_writable_and_contiguous(tmp_path):
    path = save(tmp_path / "a.jpg", picture(80, 60))
    for pixels in (read_image(path), read_image(path, 32), read_image(path, 60)):
        assert pixels.flags.writeable
        assert pixels.flags.c_contiguous


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path):
    grey = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)
    for name in ("a.png", "a.tif"):
        pixels = read_image(save(tmp_path / name, grey))
        np.testing.assert_array_equal(pixels, (grey >> 8).astype(np.uint8)[..., None].repeat(3, axis=2))


def test_sixteen_bit_rgb_keeps_its_high_byte(tmp_path):
    rgb = picture(32, 24)
    assert cv2.imwrite(str(tmp_path / "a.png"), (rgb[..., ::-1].astype(np.uint16) << 8) + 77)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), rgb)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_is_not_inverted(tmp_path, suffix):
    rgb = picture(64, 48)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(rgb).convert("CMYK"), quality=95)  # JPEG: Adobe's polarity
    assert difference(read_image(path), rgb) < 4


def test_transparency_is_laid_on_white(tmp_path):
    half = Image.new("RGBA", (20, 20), (200, 0, 0, 255))
    half.paste((0, 0, 0, 0), (0, 0, 10, 20))
    grey = half.convert("LA")
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.paste(0, (0, 0, 10, 20))
    keyed = Image.new("RGB", (20, 20), (200, 0, 0))
    keyed.paste((1, 2, 3), (0, 0, 10, 20))
    red, lum = (200, 0, 0), (60, 60, 60)
    for path, opaque in (
        (save(tmp_path / "rgba.png", half), red),
        (save(tmp_path / "rgba.webp", half, lossless=True), red),
        (save(tmp_path / "la.png", grey), lum),
        (save(tmp_path / "p.png", palette, transparency=0), red),
        (save(tmp_path / "p.gif", palette, transparency=0), red),
        (save(tmp_path / "keyed.png", keyed, transparency=(1, 2, 3)), red),
    ):
        pixels = read_image(path)
        assert tuple(pixels[5, 2]) == (255, 255, 255), path
        assert tuple(pixels[5, 15]) == opaque, path


def test_greyscale_palette_and_one_bit(tmp_path):
    rgb = picture(40, 30)
    grey = Image.fromarray(rgb).convert("L")
    for image in (grey, grey.convert("1"), Image.fromarray(rgb).quantize(16)):
        path = save(tmp_path / "a.png", image)
        np.testing.assert_array_equal(read_image(path), np.asarray(image.convert("RGB")))
    assert read_image(save(tmp_path / "a.jpg", grey), 16).shape == (16, 16, 3)


def test_first_of_several_frames(tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    for name in ("a.gif", "a.tif", "a.mpo", "a.webp", "a.png"):
        path = save(tmp_path / name, frames[0], save_all=True, append_images=frames[1:])
        assert difference(read_image(path), np.asarray(frames[0])) < 4


def test_the_content_counts_not_the_name(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(picture(20, 20)).save(path, format="PNG")
    np.testing.assert_array_equal(read_image(path), picture(20, 20))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a picture of this size and brings almost nothing of it."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(99)))


def jpeg(progressive: bool = False) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(160, 120)).save(stream, "JPEG", progressive=progressive)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"not an image", "is not a whole JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a whole JPEG"),
        (jpeg()[:60], "truncated"),
        (jpeg()[:900], "truncated"),
        (jpeg()[:-2], "truncated"),
        (jpeg(progressive=True)[:-300], "truncated"),
        (jpeg()[:900] + bytes(900), "truncated"),
        (jpeg()[:900] + b"\xff\xd9", "truncated"),
        (png_header(60000, 60000), "million pixels"),
        (png_header(16, 16), "truncated"),
    ],
)
@pytest.mark.parametrize("size", [None, 32])
def test_bad_files_are_named_with_reason_and_remedy(tmp_path, content, reason, size):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(BadImage, match=reason) as caught:
        read_image(path, size)
    assert str(path) in str(caught.value)
    assert "fix or remove the file" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert reason in caught.value.reason


def test_a_picture_may_end_in_grey(tmp_path):
    pixels = picture(160, 120)
    pixels[-32:] = 128
    assert read_image(save(tmp_path / "a.jpg", pixels))[-1].max() == 128


def test_what_is_no_file_is_named(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, reason in (("x.jpg", "is not a file"), ("pipe.jpg", "is not a file"), ("none.jpg", "does not exist")):
        with pytest.raises(BadImage, match=reason):
            read_image(tmp_path / name)


def test_what_the_file_system_refuses_is_named(tmp_path):
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with pytest.raises(BadImage, match=r"can't be opened \(.*symbolic links\)"):
        read_image(tmp_path / "loop.jpg")


def test_float_pixels_have_no_known_scale(tmp_path):
    path = save(tmp_path / "a.tif", np.zeros((8, 8), np.float32))
    with pytest.raises(BadImage, match="32-bit"):
        read_image(path)


def test_names_in_any_bytes(tmp_path):
    name = os.fsencode(tmp_path) + b"/mole \xff\n.jpg"
    Path(os.fsdecode(name)).write_bytes(jpeg())
    assert read_image(os.fsdecode(name), 32).shape == (32, 32, 3)
    Path(os.fsdecode(name)).write_bytes(b"")
    with pytest.raises(BadImage) as caught:
        read_image(os.fsdecode(name))
    assert str(caught.value).encode("utf-8").isascii()


def test_printable_keeps_ordinary_names():
    assert printable("Muttermal/Größe 1.jpg") == "Muttermal/Größe 1.jpg"


def test_a_jpeg_for_a_page_is_the_whole_upright_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying
    path = save(tmp_path / "a.png", np.ascontiguousarray(np.rot90(picture(60, 90))), exif=exif)
    shown = np.asarray(Image.open(io.BytesIO(read_jpeg(path, 45))))
    assert shown.shape == (45, 30, 3)
    assert difference(shown, cv2.resize(picture(60, 90), (30, 45), interpolation=cv2.INTER_AREA)) < 4


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_files_have_to_use_their_range(tmp_path, bits, suffix, channels):
    pixels = np.dstack([picture(32, 24).astype(np.uint16) << (bits - 8), np.full((24, 32), 65535, np.uint16)])
    path = tmp_path / f"a.{suffix}"
    assert cv2.imwrite(str(path), pixels[..., :channels])
    if bits == 16:
        assert read_image(path).max() > 200
        return
    for size in (None, 16):
        with pytest.raises(BadImage, match=rf"has {bits}-bit values in 16-bit pixels.*save it with 8 bits"):
            read_image(path, size)


def test_another_format_under_a_readable_name_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    with pytest.raises(BadImage, match=r"is not a whole JPEG.*, but HEIC: convert it to JPEG or PNG"):
        read_image(tmp_path / "a.jpg")
