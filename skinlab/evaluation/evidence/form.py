"""The form of ``evidence.json``, the interface of everything that shows results; see ``docs/evidence.schema.json``.

Numbers are null where they are undefined, blocks where nothing could be computed. Metrics go by their names in
``metrics.json``. Within the process undefined numbers are NaN.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from skinlab.evaluation.evidence.calibration_form import (
    CalibrationCurve,
    CalibrationMetrics,
    Conformal,
    DecisionCurve,
    RiskCoverage,
)
from skinlab.evaluation.evidence.comparison_form import BestSystems, Comparison, Endpoint, NetBenefit
from skinlab.evaluation.evidence.decision_form import DecisionEvidence
from skinlab.evaluation.evidence.expectation_form import Expectation
from skinlab.evaluation.evidence.interval_form import DecisionCounts, Interval, Metrics, Number
from skinlab.evaluation.evidence.population_form import DifferentImages, Flow, Population


class SpreadOfMetric(TypedDict):
    """Mean and standard deviation of a metric over seeds or folds, and the value of each."""

    mean: Number
    sd: Number
    values: dict[str, Number]
    operating_point: NotRequired[str]  # of decisions, else ""; not in evidence of older versions


class Spread(TypedDict):
    """The variation between seeds, or between folds, which intervals don't include."""

    replicate_axis: str
    n: int
    metrics: dict[str, SpreadOfMetric]


class TrainingOverlap(TypedDict):
    """How many of the images a model knows from training (`train`), from model selection (`val`), or by lesion."""

    images: int
    train: NotRequired[int]
    val: NotRequired[int]
    group: NotRequired[int]
    unknown: NotRequired[list[str]]


class LabelsTable(TypedDict):
    """The table of labels: how many of the rows it gives a label, group or source, and how many labels it replaces."""

    path: str | None
    rows: int
    label: NotRequired[int]
    group: NotRequired[int]
    source: NotRequired[int]
    replaced: int


class TableFacts(TypedDict, total=False):
    """How a predictions table was read: renamed columns, rows of each split not evaluated, labels from elsewhere.

    `incomplete` counts the rows without a probability or a label that were left out.
    """

    columns: dict[str, str]
    left_out: dict[str, int]
    incomplete: dict[str, int]
    selection: dict[str, int]
    labels: LabelsTable


class Source(TableFacts):
    """A predictions file: its hash, its rows, and the meta data beside it."""

    path: str
    sha256: str
    split: str
    rows: int
    meta: dict[str, Any]
    training_overlap: NotRequired[TrainingOverlap | None]


class Curve(TypedDict):
    """A curve on a grid with its pointwise band, if the class has groups enough."""

    x: list[float]
    y: list[float]
    low: NotRequired[list[float]]
    high: NotRequired[list[float]]


class ClassCurves(TypedDict):
    """The ROC and the precision-recall curve of a class against all others."""

    roc: Curve
    pr: Curve


class Reliability(TypedDict):
    """A reliability diagram: mean confidence and accuracy of bins of equally many images, with Wilson intervals."""

    confidence: list[float]
    accuracy: list[float]
    low: list[float]
    high: list[float]
    rows: list[int]


class Mistake(TypedDict):
    """A wrong prediction made with high confidence."""

    image_id: str
    label: str
    predicted: str
    probability: float
    path: str | None
    missed: NotRequired[bool]  # a positive that is not found by the rule of the headline
    saliency: NotRequired[str]  # in pages only: Grad-CAM as a data URI


class ThresholdRow(TypedDict):
    """A threshold with its interval, what it was chosen on, and the metrics of the predictions it makes."""

    rule: str
    threshold: float
    low: Number
    high: Number
    positives: int | None  # null of a threshold that was fixed beforehand
    chosen_on: str
    prevalence: Number  # share of positives that the rule was chosen for; null: that of those rows, or it has no part
    cost_ratio: NotRequired[float]  # that the cost is stated at; not in evidence of older versions
    applied_to: str
    sensitivity: Interval
    specificity: Interval
    ppv: Interval
    npv: Interval
    f1_positive: Interval
    cost: Interval
    counts: NotRequired[DecisionCounts]  # of images; not in evidence of older versions


class Optimism(TypedDict):
    """F1 at a threshold chosen on the evaluated images, and at one chosen on others (`held_out`)."""

    rule: str
    same_rows: Number
    held_out: Number
    how: str


class PositiveView(TypedDict):
    """The positive classes against all others."""

    positive: list[str]
    metrics: Metrics


class PositiveMetrics(TypedDict):
    """What is computed of the positive classes against all others."""

    binary: PositiveView | None
    thresholds: list[ThresholdRow] | None
    optimism: Optimism | None
    decision_curve: DecisionCurve | None
    calibration_curve: CalibrationCurve | None


class FoldMean(TypedDict):
    """A metric of all out-of-fold images together, its mean over the folds, and the paired difference of the two."""

    pooled: Interval
    mean: Interval
    difference: Interval
    operating_point: NotRequired[str]  # of decisions, else ""; not in evidence of older versions


class RowCounts(TypedDict):
    """The images of a system, and their groups; by class in `support` and `groups_per_class`.

    A row of `confusion` is a true class, a column a predicted one: that of `confusion_point`, the rule for the called
    class where there is one.
    """

    rows: int
    groups: int
    support: dict[str, int]
    groups_per_class: NotRequired[dict[str, int]]  # not in evidence of older versions
    pooled_folds: list[int] | None
    confusion: list[list[int]]
    confusion_shares: NotRequired[list[list[float]]]  # of the true class; not in evidence of older versions
    confusion_point: NotRequired[str]  # of older versions: the most probable class


class SystemMetrics(PositiveMetrics, RowCounts, Population, CalibrationMetrics):
    """Everything that is computed from the predictions of one system."""

    name: str
    metrics: Metrics
    fold_means: NotRequired[dict[str, FoldMean] | None]  # not in evidence of older versions
    spread: Spread | None
    curves: dict[str, ClassCurves]
    reliability: Reliability
    risk_coverage: RiskCoverage
    conformal: Conformal
    decision: NotRequired[DecisionEvidence | None]  # null for the most probable class; not in older evidence
    worst_mistakes: list[Mistake]


class System(SystemMetrics):
    """A system: its metrics, and where its predictions come from."""

    init_used: str | None
    init_licences: NotRequired[list[str]]  # not in evidence of older versions
    groups_from: str | None
    sources: list[Source]
    flow: NotRequired[Flow]  # not in evidence of older versions
    training_overlap: NotRequired[TrainingOverlap | None]  # not in evidence of older versions
    test_access: NotRequired[OpeningCount | None]  # None without runs
    expectation: NotRequired[Expectation | None]  # None without expect=


class OpeningCount(TypedDict):
    """How often the test of a system's runs was opened (scored), with this evaluation if it is of the test.

    `unknown_time` of the openings are from before they were logged; `folder_runs` are the runs and those beside them
    whose test of the same images was opened, `folder_openings` the openings of all these.
    """

    runs: int
    openings: int
    unknown_time: int
    first: str | None
    last: str | None
    folder_runs: int
    folder_openings: int


class Settings(TypedDict):
    """The settings of the evaluation."""

    classes: list[str]
    positive: list[str] | None
    prevalence: float | None
    cost_ratio: float
    n_draws: int
    level: float
    seed: int
    endpoint: NotRequired[Endpoint | None]  # not in evidence of older versions


class Provenance(TypedDict):
    """How the evidence was made: the command as typed, its configuration, versions and the day."""

    command: str
    config: dict[str, Any]
    versions: dict[str, str | None]
    date: str


class Diversity(TypedDict):
    """How differently two members of an ensemble err."""

    a: str
    b: str
    disagreement: Number
    both_wrong: Number
    error_correlation: Number
    q_statistic: Number


class Subset(TypedDict):
    """The best members of one number, their nested metric, and what choosing them was worth."""

    chosen: list[str]
    nested: Number
    same_rows: Number
    candidate_mean: Number
    optimism: Number
    gain: Number
    folds_agreeing: int


class Search(TypedDict):
    """A nested search for the best members of an ensemble."""

    metric: str
    rows: int
    all_members: Number
    n_candidates: int
    exhaustive: bool
    folds: int
    single: Subset
    pair: Subset
    subset: Subset


class Ensemble(TypedDict):
    """How an ensemble is combined, how its members differ, and the equal-cost baseline (`equal_cost_baseline`)."""

    method: str
    members: list[str]
    weights: list[float] | None
    thresholds: list[float] | None
    diversity: list[Diversity]
    search: Search | None
    equal_cost_baseline: str


class Cost(TypedDict):
    """What a test-time augmentation costs."""

    name: str
    views: int
    seconds_per_1000: float
    ratio: float


class Evidence(TypedDict):
    """The content of ``evidence.json``."""

    format: Literal[2]
    settings: Settings
    provenance: Provenance
    systems: list[System]
    comparisons: list[Comparison]  # of pairs; none of more than twelve systems without a reference or an endpoint
    best: NotRequired[list[BestSystems]]  # of three systems or more; not in evidence of older versions
    net_benefit: NotRequired[NetBenefit | None]  # null without systems to compare; not in evidence of older versions
    unpaired: NotRequired[DifferentImages]
    cautions: list[str]
    ensemble: NotRequired[Ensemble]
    tta: NotRequired[list[Cost]]
