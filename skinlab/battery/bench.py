"""What every probe is run on: the model, its images at home and outside, and how predictions are measured."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.battery.model import Alteration, Image, Model
from skinlab.evaluation.predictions import Predictions, as_written, predictions_table, to_predictions
from skinlab.evaluation.shift.form import Condition
from skinlab.evaluation.shift.yardstick import Samples, Yardstick, altered_condition

# From an image (H, W, 3) and random numbers to the altered image.
RandomAlteration = Callable[[Image, np.random.Generator], Image]


@dataclass(frozen=True)
class ImageSet:
    """The images of one place.

    Attributes:
        name: in the report, such as ``home (ham10000, val)``.
        rows: N rows of a manifest, with labels of the model's classes.
        model: that predicts them.
        yardstick: how predictions are measured.
        left_out: reason → how many images were left out.
        own_thresholds: of each image ``(N, R)``, where the threshold was chosen on these images by cross-fitting.
        no_class: rows of a manifest, of images of classes that the model does not have.
    """

    name: str
    rows: pd.DataFrame
    model: Model
    yardstick: Yardstick
    left_out: dict[str, int] = field(default_factory=dict)
    own_thresholds: npt.NDArray[np.float64] | None = None
    no_class: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def pixels(self) -> Image:
        """The images ``(N, S, S, 3)``, read once."""
        return self.model.read(self.rows["path"].tolist())

    @cached_property
    def clean(self) -> Predictions:
        """Predictions of the unaltered images, which alterations are compared with."""
        return self.predict()

    @cached_property
    def reference(self) -> Samples:
        """Bootstrap samples of the predictions of the unaltered images, at the frozen threshold."""
        return self.yardstick.samples(self.clean)

    @cached_property
    def own(self) -> Samples:
        """Bootstrap samples of the same predictions, each image at a threshold that it had no part in."""
        return self.yardstick.samples(self.clean, self.own_thresholds)

    def by(self, model: Model, yardstick: Yardstick) -> ImageSet:
        """Return the same images for another model; they are read again only if it frames them otherwise."""
        found = replace(self, model=model, yardstick=yardstick, own_thresholds=None)
        if (model.side, model.bundle.fit) == (self.model.side, self.model.bundle.fit):
            vars(found)["pixels"] = self.pixels
        return found

    def of(self, rows: npt.NDArray[np.bool_]) -> ImageSet:
        """Return some of the images; those that were read are not read again."""
        own = None if self.own_thresholds is None else self.own_thresholds[rows]
        found = replace(self, rows=self.rows[rows].reset_index(drop=True), own_thresholds=own)
        if "pixels" in vars(self):
            vars(found)["pixels"] = self.pixels[rows]
        return found

    def predict(self, alter: Alteration | None = None) -> Predictions:
        """Return the predictions of all images, altered or as they are."""
        probabilities = as_written(self.model.predict(self.pixels, alter))
        table = predictions_table(self.rows, probabilities, self.model.bundle.outputs)
        return to_predictions(table, self.name)

    def altered(self, name: str, dose: str, alter: Alteration) -> Condition:
        """Return the condition of an alteration of all images."""
        return altered_condition(name, dose, self.predict(alter), self.clean, self.reference, self.yardstick)


@dataclass(frozen=True)
class Bench:
    """What every probe is run on.

    Attributes:
        model: under test.
        yardstick: how predictions are measured.
        home: images of the model's own kind, none of them in its training; None where there are none.
        outside: images of other origin; None where there are none.
        seed: of the alterations.
        run: directory whose images are those at home; None where there is none.
        artefacts: probability of artefacts in images by their ids; None where there is no table.
    """

    model: Model
    yardstick: Yardstick
    home: ImageSet | None
    outside: ImageSet | None
    seed: int = 0
    run: Path | None = None
    artefacts: pd.DataFrame | None = None

    def random(self, alter: RandomAlteration, *key: str | int) -> Alteration:
        """Return an alteration whose random numbers depend on the image's row and a key alone."""
        words = [zlib.crc32(str(each).encode()) for each in key]
        return lambda image, row: alter(image, np.random.default_rng([self.seed, *words, row]))


def examples(rows: pd.DataFrame, positive: Sequence[str], n: int = 3) -> list[int]:
    """Return the rows of images for pictures: the first of each class, the positive classes first.

    Args:
        rows: N rows with ``label``.
        positive: classes.
        n: how many at most.
    """
    first = rows.reset_index(drop=True).drop_duplicates("label")
    order = first.assign(last=~first["label"].isin(positive)).sort_values(["last", "label"])
    return [int(row) for row in order.index[:n]]
