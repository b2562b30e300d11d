"""Reader of the phantom: draws it on first use, then reads it as the data set of its layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from skinlab.data.readers.dsm2025 import read_dsm2025
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.phantom import Settings, ensure_phantom

_READERS = {"ham10000": read_ham10000, "dsm2025": read_dsm2025}


def read_phantom(
    root: str | Path,
    *,
    layout: str = "ham10000",
    n_images: int = 1400,
    min_lesions: int = 12,
    image_size: int = 128,
    seed: int = 0,
    artefact_bias: Mapping[str, Mapping[str, float]] | None = None,
    device_bias: Mapping[str, Mapping[str, float]] | None = None,
    n_positive: int = 100,
    n_negative: int = 900,
    n_unlabeled: int = 1000,
    n_test: int = 300,
    num_workers: int | None = None,
) -> pd.DataFrame:
    """Read the phantom below `root`, drawing it first if it is not there.

    Args:
        root: folder of the phantom.
        layout: `ham10000` (seven classes, several images a lesion, masks) or `dsm2025` (malignant against benign, an
            unlabeled pool, a test folder).
        n_images: for `ham10000`.
        min_lesions: of a rare class, for `ham10000`, as far as `n_images` allow (a fourteenth of them).
        image_size: width and height, in pixels.
        seed: of everything drawn.
        artefact_bias: artefact (hair, ruler, bubbles, ink) -> class -> chance of it, in place of the device's own; such
            as `{"ruler": {"mel": 0.9}}`.
        device_bias: device (polarised, videoscope, contact, slide) -> class -> share of its lesions that the device
            takes; such as `{"slide": {"mel": 0.9}}`.
        n_positive: malignant images in `train/1`, for `dsm2025`.
        n_negative: benign images in `train/0`.
        n_unlabeled: images in `train/Unlabeled`, as many malignant among them as in the labeled ones.
        n_test: images in `test`, likewise.
        num_workers: processes that draw; one for each core by default, eight at most.

    Raises:
        UserError: a setting is out of range, or there is something else at `root`.
    """
    bias = {artefact: dict(rates) for artefact, rates in (artefact_bias or {}).items()}
    devices = {device: dict(rates) for device, rates in (device_bias or {}).items()}
    settings = Settings(
        layout, image_size, seed, bias, n_images, n_positive, n_negative, n_unlabeled, n_test, min_lesions, devices
    )
    ensure_phantom(Path(root), settings, num_workers)
    return _READERS[layout](root)
