"""The form of subgroups and units of analysis in ``evidence.json``; see :mod:`skinlab.evaluation.evidence.form`."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from skinlab.evaluation.evidence.interval_form import DecisionCounts, Interval, Metrics, Number


class UnpairedDifference(TypedDict):
    """The difference of a metric between two sets of other images, with p-values."""

    difference: Interval
    p: Number
    p_holm: Number
    p_floor: NotRequired[Number]  # the smallest p that is reported; not in evidence of older versions


class SubgroupDifference(UnpairedDifference):
    """The difference of a metric between a subgroup and the other images, both over the same classes."""

    here: NotRequired[Number]  # the metric of the subgroup; not in evidence of older versions
    others: NotRequired[Number]


class Subgroup(TypedDict):
    """The images with one value of a column.

    `groups_per_class` counts lesions or patients. `metrics` are over the images of `classes`, those with enough groups,
    and null where a `note` says why. `differences` are to the images with another value, both over the images of
    `compared_classes`, those with enough groups on both sides.
    """

    column: str
    value: str
    rows: int
    groups: int
    support: dict[str, int]
    groups_per_class: dict[str, int]
    classes: list[str]
    compared_classes: list[str]
    metrics: Metrics | None
    binary: Metrics | None
    differences: dict[str, SubgroupDifference]
    note: str


class LowestSubgroup(TypedDict):
    """The subgroup that is worst against the other images by one metric, as a sentence."""

    column: str
    value: str
    metric: str
    sentence: str
    p_holm: NotRequired[Number]  # not in evidence of older versions


class Subgroups(TypedDict):
    """All subgroups, of how many differences Holm's correction counts, and the worst one."""

    columns: list[str]
    subgroups: list[Subgroup]
    compared: int
    lowest: LowestSubgroup | None
    rule: NotRequired[str | None]  # at whose threshold sensitivity and specificity are; null for p >= 0.5
    called: NotRequired[str]  # operating point of the called class; "" for the most probable class


class UnitMetrics(TypedDict):
    """Metrics by lesion (the mean of its images) or by patient (the worst of its lesions), and from how many images.

    `support` counts lesions of each class, or patients with and without a positive lesion; a `note` says why there are
    no metrics.
    """

    unit: str
    rows: int
    images: int
    support: dict[str, int]
    metrics: Metrics
    binary: Metrics
    note: str
    rule: NotRequired[str | None]  # at whose threshold the decisions of `binary` are; null for p >= 0.5
    counts: NotRequired[DecisionCounts]  # at that rule; not without one, nor in evidence of older versions
    called: NotRequired[str]  # operating point of the decisions of `metrics`; "" for the most probable class
    each_image_a_lesion: NotRequired[bool]  # by patient: no two images are known to show one lesion


class Population(TypedDict):
    """What a group of a system's images is (null: unknown), the parts of the images, and larger units than images."""

    group_unit: NotRequired[Literal["image", "lesion", "patient"] | None]  # not in evidence of older versions
    subgroups: Subgroups | None
    units: list[UnitMetrics]


class UnpairedComparison(UnpairedDifference):
    """The difference of a metric between two systems on other images; `class_mix` says whether that enters it.

    `role`, `hypothesis` and `margin` are those of an endpoint declared before, as in paired comparisons.
    """

    a: str
    b: str
    metric: str
    class_mix: bool
    sentence: str
    # Not in evidence of older versions:
    operating_point: NotRequired[str]  # of decisions: that of both systems, or the rule that they share; else ""
    significant: NotRequired[bool]
    role: NotRequired[Literal["primary", "secondary"] | None]
    hypothesis: NotRequired[str]
    margin: NotRequired[float]


class DifferentImages(TypedDict):
    """Systems on different images: their metrics and differences over `classes`, those with enough groups in each.

    `operating_points` are those of each system's metrics of decisions.
    """

    classes: list[str]
    metrics: dict[str, Metrics]
    operating_points: NotRequired[dict[str, dict[str, str]]]  # not in evidence of older versions
    comparisons: list[UnpairedComparison]


class FlowPart(TypedDict):
    """The images of a split, by label; `groups` is null where it is unknown.

    `left_out` counts those of the pool that no training uses, by reason.
    """

    name: str
    images: int
    groups: int | None
    classes: dict[str, int]
    evaluated: bool
    left_out: NotRequired[dict[str, int]]  # not in evidence of older versions


class Flow(TypedDict):
    """The flow of images: how many were found, left out for each reason and kept, and what became of them."""

    found: int
    left_out: dict[str, int]
    kept: int
    parts: list[FlowPart]
    evaluated: str
