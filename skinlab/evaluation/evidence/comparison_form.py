"""The form of comparisons in ``evidence.json``; see :mod:`skinlab.evaluation.evidence.form`."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from skinlab.evaluation.evidence.interval_form import Interval, Number


class Endpoint(TypedDict):
    """The primary endpoint that was declared before: its metric, and what is claimed of it by which margin."""

    metric: str
    hypothesis: str
    margin: float


class Comparison(TypedDict):
    """The difference of two systems in one metric, with p-values and the detectable difference.

    Its variance is that of the images, with the trainings held fixed, plus that of the trainings, null where a system
    has one only: the difference is then one of these weights, not of their recipes, or of the predictions where the
    origin of a table is not known (`claim`). p is at least `p_floor`, the smallest that the bootstrap samples support.
    `role` is that of an endpoint declared before.
    """

    a: str
    b: str
    metric: str
    difference: Interval
    p: Number
    p_holm: Number
    detectable: Number
    sentence: str
    # Not in evidence of older versions:
    operating_point: NotRequired[str]  # of a metric of decisions, else ""
    p_floor: NotRequired[Number]
    significant: NotRequired[bool]
    variance_rows: NotRequired[Number]
    variance_trainings: NotRequired[Number]
    trainings: NotRequired[list[int]]
    paired_trainings: NotRequired[bool]
    claim: NotRequired[Literal["weights", "recipe", "predictions"]]
    role: NotRequired[Literal["primary", "secondary"] | None]
    hypothesis: NotRequired[str]
    margin: NotRequired[float]


class BestSystems(TypedDict):
    """Which systems may be the best one by a metric: the truly best one is among them with the level's probability.

    `systems` of them, the highest first; `p` of every system, of no other one being better.
    """

    metric: str
    operating_point: str
    highest: str
    systems: list[str]
    p: dict[str, Number]
    sentence: str


class NetBenefitDifference(TypedDict):
    """The net benefit of system ``a`` less that of ``b`` at a threshold; `calibrated`: after calibration, or null."""

    a: str
    b: str
    threshold: float
    difference: Interval
    calibrated: Interval | None


class NetBenefit(TypedDict):
    """The paired differences of net benefit, in true positives an image, and a sentence for each pair of systems.

    `prevalence` is the share of positives that they are stated for, null for that of the images.
    """

    prevalence: float | None
    differences: list[NetBenefitDifference]
    sentences: list[str]
