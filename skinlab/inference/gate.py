"""Detect images that are unlike the dermoscopic training images, by a Mahalanobis distance.

The distance is of thirty statistics of colour and edges in the central disc and, where there are enough images to fit
them, of the features of an ImageNet network. It detects images that are not dermoscopic; it detects neither poor
dermoscopic images nor lesions of unknown classes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from skinlab.inference.gate_network import WIDTH, GateNetwork

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

SIZE, FIT = 64, "crop"  # how the gate's images are read, whatever the network's settings
DISC = 0.85  # of the half side: dermoscopes often darken what lies farther out, and differ in how much
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
EDGE = 5.0  # lightness steps a pixel, of 100 from black to white
VARIATION = 0.05  # sd of log gamma and of log channel gains: what one dermoscope's camera differs from another's
SHRINKAGE = 0.02  # of the correlations towards 0, so that two nearly collinear statistics don't dominate
MIN_IMAGES = 40
STATISTICS = (
    *(f"{channel}_q{round(100 * q):02d}" for q in LEVELS for channel in ("lightness", "a", "b", "chroma")),
    *("lightness_centre", "chroma_centre"),
    *(f"{name}_{kind}" for name in ("gradient", "a_gradient", "coarse_gradient") for kind in ("mean", "q95")),
    *("edge_density", "laplacian"),
)


def image_statistics(image: Image) -> Floats:
    """Return the statistics of an image, ``(30,)``, in the order of ``STATISTICS``.

    Quantiles of CIELAB lightness, a, b and chroma; centre less surroundings; strength of edges, fine and coarse.

    Args:
        image: uint8 RGB ``(H, W, 3)``; brought to ``SIZE`` if it has another size.

    >>> flat = image_statistics(np.full((64, 64, 3), 128, np.uint8))
    >>> dict(zip(STATISTICS, flat.round(1) + 0.0))["lightness_q50"], len(flat) == len(STATISTICS)
    (np.float64(53.6), True)
    """
    if image.shape != (SIZE, SIZE, 3):
        image = np.asarray(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    planes = np.asarray(np.dstack([lab, np.hypot(lab[..., 1], lab[..., 2])]), np.float32)
    disc, centre, ring = _regions(SIZE)
    lightness, chroma = planes[..., 0], planes[..., 3]
    quantiles = np.quantile(planes[disc], LEVELS, axis=0)
    contrast = [plane[centre].mean() - plane[ring].mean() for plane in (lightness, chroma)]
    fine = _slopes(lightness)[disc]
    coarse = _slopes(cv2.resize(lightness, (SIZE // 4, SIZE // 4), interpolation=cv2.INTER_AREA))[
        _regions(SIZE // 4)[0]
    ]
    edges = [
        np.log(value + 0.05)  # of a flat image they would be minus infinity
        for slopes in (fine, _slopes(planes[..., 1])[disc], coarse)
        for value in (slopes.mean(), np.quantile(slopes, 0.95))
    ]
    density = np.log((fine > EDGE).mean() + 0.002)
    laplacian = np.log(np.abs(cv2.Laplacian(lightness, cv2.CV_32F))[disc].mean() + 0.05)
    return np.array([*quantiles.ravel(), *contrast, *edges, density, laplacian], np.float64)


@functools.cache
def _regions(size: int) -> tuple[npt.NDArray[np.bool_], ...]:
    """Return masks ``(size, size)`` of the disc that counts, of its centre and of its outer ring."""
    place = (np.arange(size) - (size - 1) / 2) / (size / 2)
    radius = np.hypot(place[:, None], place[None])
    return radius < DISC, radius < 0.45, (radius >= 0.65) & (radius < DISC)


def _slopes(plane: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the steepness at each pixel, per pixel."""
    across, down = (cv2.Sobel(plane, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    return np.asarray(np.hypot(across, down) / 8, np.float32)


def varied(image: Image, rng: np.random.Generator) -> Image:
    """Return the image as another camera might have taken it: gamma and white balance a little off."""
    light = (image / 255) ** np.exp(rng.normal(0, VARIATION))
    light = light * np.exp(rng.normal(0, VARIATION, 3))
    return np.asarray(np.clip(255 * light, 0, 255), np.uint8)


@dataclass(frozen=True)
class Gate:
    """A fitted gate.

    Attributes:
        mean: ``(F,)`` of the statistics.
        scale: ``(F,)`` their standard deviations.
        precision: ``(F, F)`` inverse of their shrunken correlations.
        threshold: distance above which an image is foreign.
        quantile: share of the model's own kind of images that the threshold was set to let pass.
        measured: error rates on images that neither fitted it nor set its threshold.
        network: whose features follow the statistics; None for statistics alone.
    """

    mean: Floats
    scale: Floats
    precision: Floats
    threshold: float
    quantile: float
    measured: dict[str, Any] = field(default_factory=dict)
    network: GateNetwork | None = None

    def statistics(self, image: Image) -> Floats:
        """Return the statistics of an image that :meth:`distance_ratio` takes, ``(F,)``.

        Args:
            image: uint8 RGB, best ``(SIZE, SIZE, 3)``.
        """
        return gate_statistics(image, self.network)

    def distance_ratio(self, statistics: Floats) -> Floats:
        """Return distance over threshold of each row, ``(N,)``: above 1 is foreign.

        Args:
            statistics: ``(N, F)``, see :meth:`statistics`.
        """
        return distances(statistics, self.mean, self.scale, self.precision) / self.threshold

    def facts(self) -> dict[str, Any]:
        """Return what is known of it, for a table's ``.meta.json``."""
        return {"quantile": self.quantile, "measured": self.measured}

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for a file; of a network, its tensors."""
        plain = {key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in asdict(self).items()}
        network = None if self.network is None else dict(self.network.state_dict())
        return plain | {"statistics": list(STATISTICS), "network": network}


def gate_statistics(image: Image, network: GateNetwork | None = None) -> Floats:
    """Return the statistics of an image and, with a network, its features after them, ``(F,)``."""
    if network is None:
        return image_statistics(image)
    if image.shape != (SIZE, SIZE, 3):
        image = np.asarray(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)
    return np.concatenate([image_statistics(image), network.features(image)])


def distances(statistics: Floats, mean: Floats, scale: Floats, precision: Floats) -> Floats:
    """Return the Mahalanobis distance of each row, ``(N,)``."""
    z = (np.atleast_2d(statistics) - mean) / scale
    return np.asarray(np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", z, precision, z), 0)))


def gate_from_dict(content: Mapping[str, Any]) -> Gate:
    """Rebuild a gate from :meth:`Gate.to_dict`.

    Raises:
        ValueError: something is missing, of another shape, no finite number, or of other statistics.
    """
    if list(content.get("statistics", ())) != list(STATISTICS):
        raise ValueError("its input gate uses other statistics than this version of skinlab")
    network = None if content.get("network") is None else GateNetwork(content["network"])
    n = len(STATISTICS) + (0 if network is None else WIDTH)
    shapes = {"mean": (n,), "scale": (n,), "precision": (n, n), "threshold": (), "quantile": ()}
    arrays = {name: np.asarray(content.get(name), np.float64) for name in shapes}
    wrong = [name for name, v in arrays.items() if v.shape != shapes[name] or not np.isfinite(v).all()]
    wrong += [name for name in ("scale", "threshold") if name not in wrong and not (arrays[name] > 0).all()]
    if wrong:
        raise ValueError(f"its input gate has a wrong {wrong[0]}")
    return Gate(
        arrays["mean"],
        arrays["scale"],
        arrays["precision"],
        float(arrays["threshold"]),
        float(arrays["quantile"]),
        dict(content.get("measured", {})),
        network,
    )


def fit_gate(
    statistics: Floats, held_back: Floats, *, alarms: float = 0.01, network: GateNetwork | None = None
) -> Gate:
    """Fit mean and correlations on one set of images and set the threshold on another.

    Args:
        statistics: ``(N, F)`` of training images, best of their :func:`varied` copies.
        held_back: ``(M, F)`` of other images of the same kind, as they are.
        alarms: share of genuine images that may be predicted foreign.
        network: whose features follow the statistics in each row.

    Raises:
        ValueError: too few images, or ``alarms`` is no share.
    """
    if not 0 < alarms < 1:
        raise ValueError(f"alarms={alarms}: a share between 0 and 1 is expected, such as 0.01")
    check_enough(len(statistics), len(held_back))
    mean, scale = statistics.mean(0), np.maximum(statistics.std(0), 1e-3)
    z = (statistics - mean) / scale
    precision = np.linalg.inv((1 - SHRINKAGE) * z.T @ z / len(z) + SHRINKAGE * np.eye(z.shape[1]))
    threshold = float(np.quantile(distances(held_back, mean, scale, precision), 1 - alarms))
    return Gate(mean, scale, precision, threshold, 1 - alarms, network=network)


def check_enough(n_fitting: int, n_threshold: int) -> None:
    """Refuse too few images to fit a gate on, or to set its threshold on.

    Raises:
        ValueError: there are fewer than ``MIN_IMAGES`` of one.
    """
    if min(n_fitting, n_threshold) < MIN_IMAGES:
        raise ValueError(
            f"an input gate needs {MIN_IMAGES} images to be fitted on and as many for its threshold, "
            f"got {n_fitting} and {n_threshold}"
        )


def foreign_images(genuine: npt.NDArray[np.uint8], seed: int = 0) -> dict[str, npt.NDArray[np.uint8]]:
    """Return what is no dermoscopic image, of each kind as many as there are genuine ones.

    Drawn: noise, patches of colour, gradients, pages of text. Made of the genuine ones: grey, inverted, and with red
    and blue swapped, as when a file's channels are taken in the wrong order.

    Args:
        genuine: uint8 RGB ``(N, S, S, 3)``.
        seed: of the drawn ones.

    >>> kinds = foreign_images(np.zeros((2, 64, 64, 3), np.uint8))
    >>> {images.shape for images in kinds.values()}
    {(2, 64, 64, 3)}
    """
    rng, n, side = np.random.default_rng(seed), len(genuine), genuine.shape[1]
    noise = rng.integers(0, 256, genuine.shape, np.uint8)
    smooth = [cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (side, side)) for _ in range(n)]
    ramp = np.linspace(0, 1, side)[:, None, None]
    ends = rng.integers(0, 256, (n, 2, 1, 1, 3))
    return {
        "noise": noise,
        "colour patches": np.asarray(smooth, np.uint8),
        "gradient": np.asarray([np.broadcast_to(a * (1 - ramp) + b * ramp, noise[0].shape) for a, b in ends], np.uint8),
        "text": np.asarray([_page(rng, side) for _ in range(n)], np.uint8),
        "grey": np.repeat(genuine.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1),
        "inverted": 255 - genuine,
        "red and blue swapped": np.ascontiguousarray(genuine[..., ::-1]),
    }


def _page(rng: np.random.Generator, side: int) -> Image:
    """Return a page of black letters on white."""
    page = np.full((4 * side, 4 * side, 3), 255, np.uint8)
    for bottom in range(20, 4 * side, int(rng.integers(16, 40))):
        words = "".join(rng.choice(list("abcdefghij klmno prstuv"), 60))
        cv2.putText(page, words, (10, bottom), cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.4, 0.9)), (0, 0, 0), 1)
    return np.asarray(cv2.resize(page, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
