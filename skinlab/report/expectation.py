"""Report what a system's metrics will be on a new test set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skinlab.evaluation.metrics.registry import metric_label
from skinlab.report.wording import count, interval, percent, rule_words


def expectation_title(expected: Mapping[str, Any]) -> str:
    r"""Name the new test set.

    >>> expectation_title({"n": 530, "prevalence": 0.057}).replace("\xa0", " ")
    'On a new test set of 530 images with 5.7 % positives'
    """
    return f"On a new test set of {count(expected['n'])} images with {percent(expected['prevalence'], 1)} positives"


def expectation_rows(expected: Mapping[str, Any], n_rules: int | None = None) -> list[tuple[str, str]]:
    """Return the label of each expected metric and its value with the prediction interval, of all or the first rules.

    >>> at = [{"rule": "f1", "threshold": 0.5, "metrics": {"f1_positive": {"value": 0.4, "low": 0.3, "high": 0.5}}}]
    >>> expectation_rows({"metrics": {}, "at_thresholds": at})
    [('F1 of the positive class at best F1 (p ≥ 0.500)', '0.400 [0.300, 0.500]')]
    """
    rows = [(metric_label(name), interval(value)) for name, value in expected["metrics"].items()]
    for each in expected["at_thresholds"][:n_rules]:
        place = f"at {rule_words(each['rule'])} (p ≥ {each['threshold']:.3f})"
        for name, value in each["metrics"].items():
            rows.append((f"{metric_label(name).partition(' (p ')[0]} {place}", interval(value)))
    return rows
