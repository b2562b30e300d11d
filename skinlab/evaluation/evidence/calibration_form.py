"""The form of calibration and conformal sets in ``evidence.json``; see :mod:`skinlab.evaluation.evidence.form`."""

from __future__ import annotations

from typing import NotRequired

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


class CalibrationCurve(TypedDict):
    """The observed share of positives against their probability, smooth, with its pointwise band and its distances.

    `note` says why the distances `ici`, `e50` and `e90` have no intervals.
    """

    probability: list[float]
    observed: list[float]
    low: list[float]
    high: list[float]
    ici: float
    e50: float
    e90: float
    note: NotRequired[str]  # not in evidence of older versions


class ErrorRate(TypedDict):
    """The error rate of the most confident images, a share `coverage` of all."""

    coverage: float
    risk: float


class RiskCoverage(TypedDict):
    """The error rate among the images that are kept when the least confident are left to a person."""

    coverage: list[float]
    risk: list[float]
    aurc: Interval
    error_rates: NotRequired[list[ErrorRate]]  # not in evidence of older versions


class DecisionCurve(TypedDict):
    """Net benefit at each threshold with its band if there are groups enough, and that of treating all.

    ``calibrated`` is that of the cross-fitted calibrated probabilities; ``prevalence`` the share of positives that it
    is stated for, null for that of the images.
    """

    threshold: list[float]
    net_benefit: list[float]
    low: NotRequired[list[float]]
    high: NotRequired[list[float]]
    treat_all: list[float]
    calibrated: NotRequired[list[float]]
    prevalence: NotRequired[float | None]


class CalibrationMetrics(TypedDict):
    """What is computed about calibration: each calibrator's metrics, and their differences to those without.

    ``calibration_prevalence`` is the share of positives that they are stated for, null for that of the images.
    """

    calibration: dict[str, dict[str, Interval]] | None
    calibration_differences: dict[str, dict[str, Interval]] | None
    calibration_prevalence: NotRequired[float | None]  # not in evidence of older versions
