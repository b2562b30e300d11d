"""The plan of a phantom: lesions, images of each, their devices, artefacts and file names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from skinlab.phantom.artefacts import ARTEFACTS
from skinlab.phantom.devices import DEVICES
from skinlab.phantom.scene import stream
from skinlab.phantom.traits import CLASSES, MALIGNANT

# Images a class in HAM10000, of 7,470 lesions (Tschandl et al. 2018, doi:10.1038/sdata.2018.161).
HAM10000_COUNTS = {"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142}
_IMAGES_A_LESION = 1.34


@dataclass(frozen=True)
class Settings:
    """Settings of the pixels and files of a phantom; their limits are those of `data=phantom`."""

    layout: str
    image_size: int
    seed: int
    artefact_bias: Mapping[str, Mapping[str, float]]
    n_images: int
    n_positive: int
    n_negative: int
    n_unlabeled: int
    n_test: int
    min_lesions: int = 12
    device_bias: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Shot:
    """One image to be drawn: its lesion, view (from 1), device, artefacts and file."""

    lesion: int
    view: int
    dx: str
    device: str
    artefacts: tuple[str, ...]
    path: str
    mask_path: str = ""


def plan(settings: Settings) -> list[Shot]:
    """Return the images of a phantom in the order of their lesions."""
    return list(LAYOUTS[settings.layout](settings))


def apportion(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Divide `total` in proportion to weights, by largest remainder.

    >>> apportion(10, {"a": 2.0, "b": 1.0})
    {'a': 7, 'b': 3}
    """
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _ham10000(settings: Settings) -> Iterator[Shot]:
    """Yield images in HAM10000's layout: its class imbalance, several images of some lesions, random numbers."""
    rng = np.random.default_rng(settings.seed)
    counts = apportion(settings.n_images, HAM10000_COUNTS)
    floor = max(1, min(settings.min_lesions, settings.n_images // (2 * len(CLASSES))))
    for dx in CLASSES:
        missing = max(0, floor - counts[dx])
        counts[dx] += missing
        counts["nv"] -= missing
    numbers = rng.permutation(settings.n_images)
    lesion, image = 0, 0
    for dx in CLASSES:
        lesions = min(counts[dx], max(floor, round(counts[dx] / _IMAGES_A_LESION)))
        views = 1 + np.bincount(rng.integers(lesions, size=counts[dx] - lesions), minlength=lesions)
        for n_views in views.tolist():
            for view in range(1, n_views + 1):
                part = 1 if numbers[image] < settings.n_images / 2 else 2
                name = f"ISIC_{numbers[image]:07d}"
                mask = f"HAM10000_segmentations_lesion_tschandl/{name}_segmentation.png"
                yield _shot(settings, lesion, view, dx, f"HAM10000_images_part_{part}/{name}.jpg", mask)
                image += 1
            lesion += 1


def _dsm2025(settings: Settings) -> Iterator[Shot]:
    """Yield images in DSM-2025's layout: labels are folders, file names repeat across folders, one lesion an image."""
    rng = np.random.default_rng(settings.seed)
    prevalence = settings.n_positive / (settings.n_positive + settings.n_negative)
    sizes = {
        "train/0": (0, settings.n_negative),
        "train/1": (settings.n_positive, 0),
        "train/Unlabeled": _split(settings.n_unlabeled, prevalence),
        "test": _split(settings.n_test, prevalence),
    }
    lesion = 0
    for folder, (positive, negative) in sizes.items():
        counts = apportion(positive, {dx: n for dx, n in HAM10000_COUNTS.items() if dx in MALIGNANT})
        counts |= apportion(negative, {dx: n for dx, n in HAM10000_COUNTS.items() if dx not in MALIGNANT})
        for number, dx in enumerate(rng.permutation(np.repeat(list(counts), list(counts.values()))).tolist()):
            yield _shot(settings, lesion, 1, dx, f"{folder}/{number:06d}.jpg")
            lesion += 1


def _split(total: int, prevalence: float) -> tuple[int, int]:
    positive = round(total * prevalence)
    return positive, total - positive


def _shot(settings: Settings, lesion: int, view: int, dx: str, path: str, mask_path: str = "") -> Shot:
    """Choose device and artefacts; with another bias the random draws, and so all else in the picture, are the same."""
    names, shares = list(DEVICES), device_shares(dx, settings.device_bias)
    home = names[stream(settings.seed, lesion, 0, "choice").choice(len(names), p=shares)]
    rng = stream(settings.seed, lesion, view, "choice")
    elsewhere, other = rng.random() < 0.4, names[rng.choice(len(names), p=shares)]
    device = other if view > 1 and elsewhere else home
    chances = dict(zip(ARTEFACTS, rng.random(len(ARTEFACTS)).tolist(), strict=True))
    rates = {name: settings.artefact_bias.get(name, {}).get(dx, DEVICES[device].rates[name]) for name in ARTEFACTS}
    present = tuple(name for name in ARTEFACTS if chances[name] < rates[name])
    return Shot(lesion, view, dx, device, present, path, mask_path)


def device_shares(dx: str, bias: Mapping[str, Mapping[str, float]]) -> list[float]:
    """Return the share of a class's lesions that each device takes; those without a bias share the rest as ever.

    >>> device_shares("mel", {"slide": {"mel": 1.0}})
    [0.0, 0.0, 0.0, 1.0]
    """
    tied = {name: rates[dx] for name, rates in bias.items() if dx in rates}
    if not tied:
        return [device.share for device in DEVICES.values()]
    free = sum(device.share for name, device in DEVICES.items() if name not in tied)
    left = (1 - sum(tied.values())) / free if free else 0.0
    return [tied.get(name, device.share * left) for name, device in DEVICES.items()]


LAYOUTS = {"ham10000": _ham10000, "dsm2025": _dsm2025}
