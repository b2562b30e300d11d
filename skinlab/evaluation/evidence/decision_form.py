"""The form of the rule for the called class in ``evidence.json``."""

from __future__ import annotations

from typing_extensions import TypedDict

from skinlab.evaluation.evidence.interval_form import Metrics, Number


class DecisionEvidence(TypedDict):
    """A rule for the called class, its metrics, and what it gains or costs against the most probable class (paired)."""

    rule: str
    decide_by: str
    classes: list[str]
    weights: list[float]
    power: Number
    chosen_on: str
    applied_to: str
    rows: dict[str, str]
    metrics: Metrics
    differences: Metrics
    confusion: list[list[int]]
