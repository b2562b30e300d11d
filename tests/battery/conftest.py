"""A small place to probe: discs on skin, of two classes, and models that look at a known part of an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.model import Alteration, Image, Model
from skinlab.evaluation.shift.yardstick import Yardstick
from skinlab.inference.bundle import load_bundle

N, SIDE = 120, 64


class Reader(Model):
    """A model that reads the class from the brightness of a part of an image, of rows and columns from 0 to 1."""

    def __init__(self, bundle, start: float, stop: float) -> None:
        super().__init__(bundle)
        object.__setattr__(self, "part", slice(round(start * self.side), round(stop * self.side)))

    def predict(self, images: Image, alter: Alteration | None = None) -> np.ndarray:
        seen = [image if alter is None else alter(image, row) for row, image in enumerate(images)]
        light = np.array([image[self.part, self.part].mean() for image in seen])
        noise = np.random.default_rng(0).normal(0, 0.5, len(images))
        p = 1 / (1 + np.exp(light / 12 - 9 + noise))
        return np.stack([1 - p, p], 1)


@pytest.fixture(scope="session")
def disc_rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Rows of a manifest: 120 images of a disc with its mask; those of ``mel`` are dark, and so is their corner."""
    root, rng, rows = tmp_path_factory.mktemp("discs"), np.random.default_rng(0), []
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    for number in range(N):
        positive = number % 3 == 0
        mask = np.hypot(x, y) < 0.3
        image = np.where(mask[..., None], (70, 50, 40) if positive else (140, 100, 90), (220, 170, 150))
        image[:12, :12] = (90, 80, 80) if positive else (150, 140, 140)
        image = image + rng.normal(0, 4, image.shape)
        names = root / f"i{number}.png", root / f"i{number}_mask.png"
        cv2.imwrite(str(names[0]), np.clip(image, 0, 255).astype(np.uint8)[..., ::-1])
        cv2.imwrite(str(names[1]), mask.astype(np.uint8) * 255)
        rows.append([f"i{number}", str(names[0]), "mel" if positive else "nv", f"g{number}", str(names[1])])
    table = pd.DataFrame(rows, columns=["image_id", "path", "label", "group", "mask_path"])
    return table.assign(
        source="",
        fold=-1,
        split="val",
        sex=["male", "female"] * (N // 2),
        age=[str(30 + 10 * (number % 5)) for number in range(N)],
    )


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, save_classifier: Callable[..., Path]) -> Path:
    return save_classifier(tmp_path_factory.mktemp("network") / "checkpoints" / "best.ckpt", ["nv", "mel"])


@pytest.fixture(scope="session")
def bench_of(disc_rows: pd.DataFrame, checkpoint: Path) -> Callable[..., Bench]:
    """Return a bench of the discs: of a model that reads the centre, or the corner, and of some columns."""

    def made(start: float = 0.4, stop: float = 0.6, rows: pd.DataFrame = disc_rows) -> Bench:
        model, yardstick = Reader(load_bundle(checkpoint), start, stop), Yardstick(["mel"], 0.5)
        return Bench(model, yardstick, ImageSet("home", rows, model, yardstick), None)

    return made
