"""The rule for the called class in words, and its table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from skinlab.evaluation.evidence.form import Evidence
from skinlab.evaluation.metrics.registry import metric_label
from skinlab.report.wording import interval


def decision_words(decision: Mapping[str, Any]) -> str:
    """Name a rule for the called class.

    >>> decision_words({"rule": "prior:auto", "power": 0.3}), decision_words({"rule": "cost", "power": None})
    ('probability over training share to the power 0.3 (prior:auto)', 'least expected cost')
    """
    rule, power = decision["rule"], decision["power"]
    if power is not None:
        return f"probability over training share to the power {power:.2g} ({rule})"
    words = {"cost": "least expected cost", "thresholds": "a weight for each class", "argmax": "most probable class"}
    return words[rule]


def print_decisions(console: Console, evidence: Evidence) -> None:
    """Print a table a system of the metrics of its called class, and what they gain over the most probable class."""
    for system in evidence["systems"]:
        decision = system.get("decision")
        if not decision:
            continue
        name = f"{system['name']}: " if len(evidence["systems"]) > 1 else ""
        table = Table(title=f"{name}called class by {decision_words(decision)}, {decision['applied_to']}")
        table.add_column("metric")
        table.add_column("by the rule", justify="right")
        table.add_column("less that of the most probable class", justify="right")
        for metric, difference in decision["differences"].items():
            cells = interval(decision["metrics"][metric]), interval(difference, signed=True)
            table.add_row(metric_label(metric, point=False), *cells)
        console.print(table)
