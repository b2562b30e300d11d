"""The form of calibration and conformal sets in ``evidence.json``; see :mod:`skinlab.evaluation.evidence.form`."""

from __future__ import annotations

from typing_extensions import TypedDict

from skinlab.evaluation.evidence.interval_form import Interval


class Conformal(TypedDict):
    """Conformal prediction sets: the coverage promised and reached, of lesions and of images, and their mean size."""

    level: float
    unit: str
    coverage: dict[str, Interval]
    image_coverage: float
    mean_size: float
    note: str
