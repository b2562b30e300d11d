"""A contact sheet: some images of every class in one picture, for a quick check of a data set."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skinlab.data.images import read_image

_BACKGROUND, _TEXT = 255, (40, 40, 40)
_GAP = 2


def contact_sheet(manifest: pd.DataFrame, *, per_class: int = 8, size: int = 128, seed: int = 0) -> NDArray[np.uint8]:
    """Return a picture with a row of random images of each class under the class's name and count.

    Args:
        manifest: of any data set; unlabeled images make the last row.
        per_class: images a row; more than one of a group only if there are fewer groups.
        size: of each image, in pixels.
        seed: of the choice.

    Returns:
        RGB picture (height, width, 3).
    """
    labels = sorted(manifest["label"].unique(), key=lambda label: (label == "", label))
    rows = [_row(manifest[manifest["label"] == label], label or "unlabeled", per_class, size, seed) for label in labels]
    return np.concatenate(rows) if rows else np.full((size, size, 3), _BACKGROUND, np.uint8)


def _row(rows: pd.DataFrame, name: str, per_class: int, size: int, seed: int) -> NDArray[np.uint8]:
    shuffled = rows.sample(frac=1, random_state=seed)
    repeats = shuffled["group"].duplicated()
    chosen = pd.concat([shuffled[~repeats], shuffled[repeats]])[:per_class]
    scale = max(0.35, size / 280)
    head = round(32 * scale)
    strip = np.full((head + size + _GAP, per_class * (size + _GAP), 3), _BACKGROUND, np.uint8)
    count = f"{name}   {len(rows):,} image{'s' * (len(rows) != 1)}"
    cv2.putText(strip, count, (3, round(23 * scale)), cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, 1, cv2.LINE_AA)
    for k, path in enumerate(chosen["path"]):
        strip[head : head + size, k * (size + _GAP) :][:, :size] = read_image(path, size)
    return strip
