"""A bench whose model is a function of the image, so that what an alteration does to it is known."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.model import Alteration, Image, Model
from skinlab.evaluation.shift.yardstick import Yardstick

CLASSES = ["bkl", "mel", "nv"]


class FunctionModel:
    """A model whose probability of mel is a function of the image; the rest is shared equally."""

    def __init__(self, images: Image, score: Callable[[Image], float]) -> None:
        self.images, self.score = images, score
        self.bundle = SimpleNamespace(outputs=CLASSES, classes=CLASSES)

    def read(self, paths: list[str]) -> Image:
        return self.images[[int(path) for path in paths]]

    def predict(self, images: Image, alter: Alteration | None = None) -> np.ndarray:
        p = np.array([self.score(image if alter is None else alter(image, row)) for row, image in enumerate(images)])
        return np.stack([(1 - p) / 2, p, (1 - p) / 2], 1)


def skin(n: int, side: int = 64, seed: int = 0) -> tuple[Image, list[str]]:
    """Return images of skin with a lesion, darker in melanomas, and their labels: a third of each class."""
    rng, labels = np.random.default_rng(seed), [CLASSES[i % 3] for i in range(n)]
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    lesion = np.clip(4 * (0.5 - np.hypot(x, y)), 0, 1)[..., None]
    dark = [rng.normal(120 if label == "mel" else 60, 25) for label in labels]
    images = [np.array([210, 160, 150]) + rng.normal(0, 4, (side, side, 1)) - lesion * each for each in dark]
    return np.clip(images, 0, 255).astype(np.uint8), labels


def lesion_darkness(image: Image) -> float:
    """Return a probability that grows with the darkness of the centre."""
    centre = image.shape[0] // 2
    mean = image[centre - 8 : centre + 8, centre - 8 : centre + 8].mean()
    return float(1 / (1 + np.exp((mean - 85) / 12)))


def bench(images: Image, labels: list[str], score: Callable[[Image], float], **columns: Any) -> Bench:
    """Return a bench with these images at home, each a group of its own unless a column says otherwise."""
    ids = [f"i{row}" for row in range(len(labels))]
    rows = pd.DataFrame({"image_id": ids, "path": [str(row) for row in range(len(labels))], "label": labels})
    rows = rows.assign(**({"group": ids, "source": "", "fold": 0, "split": "val"} | columns))
    model, yardstick = cast(Model, FunctionModel(images, score)), Yardstick(["mel"], 0.5)
    return Bench(model, yardstick, ImageSet("home", rows, model, yardstick), None)
