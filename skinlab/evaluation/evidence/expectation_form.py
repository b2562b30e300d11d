"""The form of the expected metrics in ``evidence.json``; see :mod:`skinlab.evaluation.evidence.form`."""

from __future__ import annotations

from typing_extensions import TypedDict

from skinlab.evaluation.evidence.interval_form import Metrics


class ExpectedAtRule(TypedDict):
    """The expected metrics of the predictions at the threshold of a rule."""

    rule: str
    threshold: float
    metrics: Metrics


class Expectation(TypedDict):
    """Metrics on a new test set of `n` images with a `prevalence` of positives, with prediction intervals."""

    n: int
    prevalence: float
    metrics: Metrics
    at_thresholds: list[ExpectedAtRule]
