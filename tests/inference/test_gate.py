"""The input gate: what it measures, what it lets pass, and how it goes through a file."""

import json

import cv2
import numpy as np
import pytest

from skinlab.inference import gate as gates
from skinlab.inference.gate import (
    SIZE,
    STATISTICS,
    Gate,
    distances,
    fit_gate,
    foreign_images,
    gate_from_dict,
    image_statistics,
    varied,
)


def lesions(n: int, seed: int) -> np.ndarray:
    """Brown blots on pink skin, uint8 (n, SIZE, SIZE, 3)."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    images = []
    for _ in range(n):
        blot = np.exp(-(down**2 / rng.uniform(0.02, 0.06) + across**2 / rng.uniform(0.02, 0.06)))[..., None]
        skin, brown = rng.normal((220, 160, 150), 12, 3), rng.normal((110, 60, 45), 12, 3)
        pixels = skin * (1 - blot) + brown * blot + cv2.blur(rng.normal(0, 15, (SIZE, SIZE, 3)), (3, 3))
        images.append(np.clip(pixels, 0, 255).astype(np.uint8))
    return np.stack(images)


def statistics(images: np.ndarray) -> np.ndarray:
    return np.array([image_statistics(image) for image in images])


@pytest.fixture(scope="module")
def fitted() -> Gate:
    rng = np.random.default_rng(5)
    return fit_gate(
        statistics([varied(image, rng) for image in lesions(150, 0)]), statistics(lesions(100, 1)), alarms=0.05
    )


def test_the_threshold_lets_the_stated_share_pass(fitted: Gate):
    assert (fitted.distance_ratio(statistics(lesions(100, 1))) > 1).mean() == pytest.approx(0.05)
    assert (fitted.distance_ratio(statistics(lesions(100, 2))) > 1).mean() <= 0.15


def test_foreign_images_are_reported(fitted: Gate):
    for kind, images in foreign_images(lesions(20, 3)).items():
        assert images.dtype == np.uint8
        assert (fitted.distance_ratio(statistics(images)) > 1).mean() >= 0.9, kind


def test_what_lies_outside_the_disc_does_not_count():
    image = lesions(1, 0)[0]
    darkened = image.copy()
    for rows in (slice(4), slice(-4, None)):
        for columns in (slice(4), slice(-4, None)):
            darkened[rows, columns] = 0
    np.testing.assert_array_equal(image_statistics(image), image_statistics(darkened))


def test_mirroring_changes_no_statistic():
    image = lesions(1, 0)[0]
    for mirrored in (image[::-1], image[:, ::-1], image.transpose(1, 0, 2)):
        np.testing.assert_allclose(
            image_statistics(np.ascontiguousarray(mirrored)), image_statistics(image), rtol=1e-3, atol=2e-3
        )


def test_statistics_are_what_their_names_say():
    values = dict(zip(STATISTICS, image_statistics(np.full((SIZE, SIZE, 3), 255, np.uint8)), strict=True))
    assert values["lightness_q50"] == pytest.approx(100, abs=0.1)
    assert values["chroma_q95"] == pytest.approx(0, abs=0.1)
    assert values["gradient_mean"] == pytest.approx(np.log(0.05), abs=1e-3)
    ramp = np.tile(np.linspace(0, 255, SIZE), (SIZE, 1)).astype(np.uint8)
    slope = dict(zip(STATISTICS, image_statistics(np.dstack([ramp] * 3)), strict=True))["gradient_mean"]
    assert np.exp(slope) - 0.05 == pytest.approx(100 / SIZE, rel=0.1)  # black to white over SIZE pixels
    assert np.isfinite(image_statistics(np.zeros((SIZE, SIZE, 3), np.uint8))).all()


def test_images_of_another_size_are_scaled():
    image = lesions(1, 0)[0]
    large = cv2.resize(image, (2 * SIZE, 2 * SIZE), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_allclose(image_statistics(large), image_statistics(image), atol=1e-9)


def test_distance_is_mahalanobis_own():
    from scipy.spatial.distance import mahalanobis

    rng = np.random.default_rng(0)
    x, mean, scale = rng.normal(size=(4, 3)), rng.normal(size=3), rng.uniform(1, 2, 3)
    root = rng.normal(size=(3, 3))
    precision = root @ root.T
    expected = [mahalanobis(row / scale, mean / scale, precision) for row in x]
    np.testing.assert_allclose(distances(x, mean, scale, precision), expected)


def test_no_variation_leaves_an_image_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gates, "VARIATION", 0.0)
    image = lesions(1, 0)[0]
    assert np.abs(varied(image, np.random.default_rng(0)).astype(int) - image).max() <= 1


def test_a_gate_goes_through_json_unchanged(fitted: Gate):
    again = gate_from_dict(json.loads(json.dumps(fitted.to_dict())))
    seen = statistics(lesions(5, 9))
    np.testing.assert_array_equal(again.distance_ratio(seen), fitted.distance_ratio(seen))
    assert (again.threshold, again.quantile, again.measured) == (fitted.threshold, fitted.quantile, fitted.measured)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0.0]}, "a wrong mean"),
        ({"precision": None}, "a wrong precision"),
        ({"threshold": 0.0}, "a wrong threshold"),
        ({"threshold": float("nan")}, "a wrong threshold"),
        ({"statistics": ["brightness"]}, "other statistics"),
    ],
)
def test_a_damaged_gate_is_refused(fitted: Gate, change: dict, message: str):
    with pytest.raises(ValueError, match=message):
        gate_from_dict(fitted.to_dict() | change)


def test_too_few_images_and_no_share_are_refused():
    few = np.zeros((10, len(STATISTICS)))
    with pytest.raises(
        ValueError, match="needs 40 images to be fitted on and as many for its threshold, got 10 and 10"
    ):
        fit_gate(few, few)
    with pytest.raises(ValueError, match="alarms=1: a share"):
        fit_gate(few, few, alarms=1)
