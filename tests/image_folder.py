"""A folder of small images of several formats, and tables that name them."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

NAMES = ["10.png", "2.png", "a/1.jpg", "a/b/3.bmp", "c.d.png", "é.png"]  # as they are sorted


def write_images(root: Path) -> Path:
    generator = np.random.default_rng(0)
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = cv2.resize(generator.integers(0, 256, (4, 5, 3), np.uint8), (50, 40))
        (root / name).write_bytes(cv2.imencode(Path(name).suffix, pixels)[1].tobytes())
    (root / "notes.txt").write_text("no image")
    return root


def table_of(place: Path, **columns: list[str]) -> Path:
    pd.DataFrame(columns).to_csv(place, index=False)
    return place
