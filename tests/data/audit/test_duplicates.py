import io

import cv2
import numpy as np
import pytest
from PIL import Image

from skinlab.data.audit.duplicates import MIN_SIMILARITY, find_duplicates
from skinlab.data.audit.fingerprint import FINGERPRINT, fingerprint, perceptual_hash


def lesion(seed: int, size: int = 96) -> np.ndarray:
    """A dark blob on light skin, as all these images are, its details drawn by seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    blob = np.exp(-((x**2 + y**2) / 0.05))
    details = cv2.resize(rng.normal(0, 1, (12, 12)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    grey = 190 - 110 * blob + 25 * details
    return (grey[..., None] * np.array([1.0, 0.8, 0.7])).clip(0, 255).astype(np.uint8)


def recompressed(pixels: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=40)
    return np.asarray(Image.open(stream))


CHANGES = {
    "recompressed": recompressed,
    "halved": lambda p: cv2.resize(p, (48, 48), interpolation=cv2.INTER_AREA),
    "enlarged": lambda p: cv2.resize(p, (250, 210), interpolation=cv2.INTER_CUBIC),
    "brighter": lambda p: (p.astype(int) + 25).clip(0, 255).astype(np.uint8),
    "darker": lambda p: (p * 0.7).astype(np.uint8),
    "white balance": lambda p: (p * np.array([0.85, 1.0, 1.1])).clip(0, 255).astype(np.uint8),
    "blurred": lambda p: cv2.GaussianBlur(p, (0, 0), 1.0),
}
TURNS = {
    "mirrored": lambda p: p[:, ::-1],
    "upside down": lambda p: p[::-1],
    "half turn": lambda p: p[::-1, ::-1],
    "left": lambda p: np.rot90(p),
    "right": lambda p: np.rot90(p, -1),
    "transposed": lambda p: p.transpose(1, 0, 2),
    "anti-transposed": lambda p: p[::-1, ::-1].transpose(1, 0, 2),
}


@pytest.fixture(scope="module")
def lesions(tmp_path_factory):
    """Fingerprints of sixty different lesions."""
    folder = tmp_path_factory.mktemp("lesions")
    return np.stack([stored(lesion(seed), folder / f"{seed}.png") for seed in range(60)])


def stored(pixels, path):
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
    return fingerprint(str(path))


def test_different_lesions_are_no_copies(lesions):
    assert len(find_duplicates(lesions)) == 0


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found(lesions, tmp_path, change):
    copies = [stored(CHANGES[change](lesion(seed)), tmp_path / f"{seed}.png") for seed in range(0, 60, 6)]
    pairs = find_duplicates(np.concatenate([lesions, copies]))
    assert pairs[["a", "b"]].tolist() == [(seed, 60 + number) for number, seed in enumerate(range(0, 60, 6))]
    assert (pairs["similarity"] >= MIN_SIMILARITY).all()
    assert not pairs["turned"].any()
    assert not pairs["exact"].any()


@pytest.mark.parametrize("turn", TURNS)
def test_turned_copies_are_found(lesions, tmp_path, turn):
    copies = [
        stored(recompressed(np.ascontiguousarray(TURNS[turn](lesion(seed)))), tmp_path / "a.png") for seed in (3, 7)
    ]
    pairs = find_duplicates(np.concatenate([copies, lesions]))
    assert pairs[["a", "b"]].tolist() == [(0, 2 + 3), (1, 2 + 7)]
    assert pairs["turned"].all()


def test_exact_copies_pair_with_the_first(lesions):
    pairs = find_duplicates(lesions[[5, 0, 5, 5]])
    assert pairs[["a", "b"]].tolist() == [(0, 2), (0, 3)]
    assert pairs["exact"].all()


def test_pixels_count_not_the_file(tmp_path):
    pixels = lesion(0)
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    assert (
        fingerprint(str(tmp_path / "a.bmp"))["digest"].tolist() == stored(pixels, tmp_path / "a.png")["digest"].tolist()
    )


def test_a_shared_black_frame_makes_no_copies(tmp_path):
    y, x = np.mgrid[0:96, 0:96] - 47.5
    inside = (np.hypot(x, y) < 47)[..., None]
    framed = np.stack([stored(lesion(seed) * inside, tmp_path / "a.png") for seed in range(30)])
    assert len(find_duplicates(framed)) == 0


def test_featureless_pictures_are_no_copies_of_each_other():
    skin = np.zeros(3, FINGERPRINT)
    skin["digest"] = np.arange(6).reshape(3, 2)
    skin["views"] = perceptual_hash(np.linspace(100, 101, 64 * 64, dtype=np.float32).reshape(64, 64))
    assert not skin["views"].any()
    assert len(find_duplicates(skin)) == 0


def test_brightness_and_contrast_leave_the_hash():
    grey = lesion(1)[..., 0].astype(np.float32)
    np.testing.assert_allclose(perceptual_hash(0.5 * grey + 40), perceptual_hash(grey), atol=1)


@pytest.mark.parametrize("count", [0, 1])
def test_few_images(lesions, count):
    assert len(find_duplicates(lesions[:count])) == 0


def test_a_crowd_of_copies_stays_linear_and_connected(lesions):
    crowd = np.repeat(lesions[:1], 500)
    crowd["digest"] = np.arange(1000).reshape(500, 2)
    crowd["views"][:, :, -1, -1] = np.arange(500)[:, None] % 5  # alike, not equal
    pairs = find_duplicates(crowd)
    assert len(pairs) < 500 * 499 / 4
    assert set(pairs["a"]) | set(pairs["b"]) == set(range(500))
