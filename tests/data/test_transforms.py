import cv2
import numpy as np
import pytest

from skinlab.alterations.artefacts import ARTEFACTS
from skinlab.data import transforms
from skinlab.data.dataset import reseed, share_generators
from skinlab.data.samplers import Draw
from skinlab.data.transforms import Altered, ColourJitter, Warp, artefacts, colour, heavy, none
from tests.choices import choices

PRESETS = [getattr(transforms, name) for name in choices("augment") if hasattr(transforms, name)]


@pytest.fixture
def image() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.5)


def symmetries(image: np.ndarray) -> list[np.ndarray]:
    return [np.rot90(side, turn) for side in (image, image[:, ::-1]) for turn in range(4)]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [32, 24])
def test_presets_return_uint8_at_the_working_size_and_leave_their_input_alone(preset, size, image):
    image.setflags(write=False)
    before = image.copy()
    transform = preset(size)
    for _ in range(30):
        out = transform(image=image)["image"]
        assert out.shape == (size, size, 3)
        assert out.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_draw_determines_its_augmentation(preset, image):
    transform = preset(32)
    share_generators(transform)

    def augmented(copy: int) -> bytes:
        reseed(transform, 5, Draw(3, 1, copy))
        return bytes(transform(image=image)["image"].tobytes())

    assert [augmented(copy) for copy in range(8)] == [augmented(copy) for copy in range(8)]
    assert len({augmented(copy) for copy in range(8)}) == (1 if preset is none else 8)


def test_none_changes_nothing(image):
    np.testing.assert_array_equal(none(32)(image=image)["image"], image)


@pytest.mark.parametrize("transform", [Warp(32), heavy(32, strength=0)], ids=["warp", "heavy"])
def test_without_ranges_each_symmetry_of_the_square_comes_exactly(transform, image):
    transform.set_random_seed(0)
    expected = {each.tobytes() for each in symmetries(image)}
    assert {transform(image=image)["image"].tobytes() for _ in range(100)} == expected


def test_warp_mirrors_at_the_border():
    flat = np.full((32, 32, 3), 200, np.uint8)
    warp = Warp(32, rotate=45, scale=0.3, shear=10, translate=0.3)
    assert all((warp(image=flat)["image"] == 200).all() for _ in range(20))


def test_warp_moves_a_mask_with_its_image():
    mask = np.zeros((64, 64), np.uint8)
    mask[10:40, 20:50] = 255
    warp = Warp(64, rotate=30, scale=0.2, translate=0.1)
    for _ in range(20):
        out = warp(image=cv2.merge([mask] * 3), mask=mask)
        assert set(np.unique(out["mask"])) <= {0, 255}
        assert ((out["image"][..., 0] > 127) != (out["mask"] > 127)).mean() < 0.02


def test_jitter_without_ranges_changes_nothing(image):
    np.testing.assert_array_equal(ColourJitter()(image=image)["image"], image)


def test_hue_and_saturation_keep_grey_grey():
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    jitter = ColourJitter(saturation=0.5, hue=30)
    assert all((jitter(image=grey)["image"] == grey).all() for _ in range(20))


def test_jitter_is_the_usual_chain_of_steps(image):
    jitter = ColourJitter()
    drawn = {"brightness": 1.1, "contrast": 0.8, "saturation": 1.2}
    luma = np.array([0.299, 0.587, 0.114])
    expected = image.astype(float)
    expected = drawn["saturation"] * expected + (1 - drawn["saturation"]) * (expected @ luma)[..., None]
    expected = drawn["brightness"] * expected
    expected = drawn["contrast"] * expected + (1 - drawn["contrast"]) * (expected @ luma).mean()
    matrix = drawn["brightness"] * (drawn["saturation"] * np.eye(3) + (1 - drawn["saturation"]) * luma)
    out = jitter.apply(image, matrix=matrix, contrast=drawn["contrast"])
    np.testing.assert_allclose(out, np.clip(expected, 0, 255), atol=0.75)  # fixed point


def test_hue_stays_within_a_few_degrees():
    skin = np.full((8, 8, 3), (210, 160, 140), np.uint8)
    hue = [cv2.cvtColor(heavy(8)(image=skin)["image"], cv2.COLOR_RGB2HSV)[0, 0, 0] * 2.0 for _ in range(50)]
    before = cv2.cvtColor(skin, cv2.COLOR_RGB2HSV)[0, 0, 0] * 2.0
    assert np.median([abs((h - before + 180) % 360 - 180) for h in hue]) < 10


def test_white_balance_changes_red_and_blue_against_green():
    grey = np.full((4, 4, 3), 100, np.uint8)
    jitter = ColourJitter(white_balance=0.2)
    red, green, blue = np.array([jitter(image=grey)["image"][0, 0] for _ in range(200)]).T
    assert set(green) == {100}
    for channel in (red, blue):
        assert 80 <= channel.min() < 85
        assert 115 < channel.max() <= 120
    assert abs(np.corrcoef(red, blue)[0, 1]) < 0.3


def test_colour_changes_hue_more_than_heavy():
    skin = np.full((8, 8, 3), (210, 160, 140), np.uint8)

    def spread(preset) -> float:
        tint = np.array([preset(8)(image=skin)["image"][0, 0] for _ in range(60)], float)
        return float((tint / tint.sum(1, keepdims=True)).std(0).sum())

    assert spread(colour) > 1.5 * spread(heavy)


def test_artefacts_are_drawn_onto_every_second_image(monkeypatch):
    drawn = []
    monkeypatch.setattr(transforms, "draw", lambda name, image, dose, rng: drawn.append(name) or image)
    transform = artefacts(16)
    n_altered = 0
    for _ in range(400):
        before = len(drawn)
        transform(image=np.zeros((16, 16, 3), np.uint8))
        n_altered += len(drawn) > before
        assert len(drawn) - before <= 2
    assert 150 < n_altered < 250
    assert set(drawn) == set(ARTEFACTS)


def test_an_alteration_gets_the_generator_of_the_composition(image):
    transform = transforms._compose([Altered(lambda image, rng: image + rng.integers(9, dtype=np.uint8))])
    share_generators(transform)
    transform.random_generator.bit_generator.state = np.random.Generator(np.random.PCG64(1)).bit_generator.state
    expected = image + np.random.Generator(np.random.PCG64(1)).integers(9, dtype=np.uint8)
    np.testing.assert_array_equal(transform(image=image)["image"], expected)
