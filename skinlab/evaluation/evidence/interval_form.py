"""The form of a metric with its interval in ``evidence.json``; see :mod:`skinlab.evaluation.evidence.form`."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

Number = float | None


class DecisionCounts(TypedDict):
    """Positives that are found and missed, and others that are false alarms or negative; of cross-fits the mean."""

    found: float
    missed: float
    false_alarms: float
    correctly_negative: float


class Interval(TypedDict):
    """A metric with its interval; `note` says why it has none or what limits it.

    `undefined` is the share of the bootstrap samples on which the metric has no value, where it is above 1 %.
    """

    value: Number
    low: Number
    high: Number
    note: NotRequired[str]
    undefined: NotRequired[float]


Metrics = dict[str, Interval]
