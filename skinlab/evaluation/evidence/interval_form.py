"""The form of a metric with its interval in ``evidence.json``; see :mod:`skinlab.evaluation.evidence.form`."""

from __future__ import annotations

from typing_extensions import TypedDict

Number = float | None


class Interval(TypedDict):
    """A metric with its percentile interval and its BCa interval."""

    value: Number
    low: Number
    high: Number
    bca_low: Number
    bca_high: Number


Metrics = dict[str, Interval]
