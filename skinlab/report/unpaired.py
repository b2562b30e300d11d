"""The comparison of systems on different images for the page: their images, their metrics and the differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skinlab.evaluation.evidence.form import Evidence, System
from skinlab.evaluation.evidence.interval_form import Metrics
from skinlab.evaluation.evidence.population_form import UnpairedComparison
from skinlab.evaluation.metrics.registry import direction, metric_label
from skinlab.report import charts
from skinlab.report.svg import INK, series
from skinlab.report.wording import MINUS, interval, shorten


def unpaired_section(evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template writes of systems on different images; None where they are on the same."""
    if "unpaired" not in evidence:
        return None
    pairs, systems = evidence["unpaired"]["comparisons"], evidence["systems"]
    shared = evidence["unpaired"]["metrics"]
    metrics = list(dict.fromkeys(pair["metric"] for pair in pairs))
    return {
        "pairs": pairs,
        "systems": systems,
        "classes": evidence["unpaired"]["classes"],
        "beside": [_beside(systems, shared, name) for name in metrics],
        "differences": [_differences(pairs, name) for name in metrics],
    }


def _beside(systems: Sequence[System], metrics: Mapping[str, Metrics], metric: str) -> dict[str, object]:
    """Draw one metric of all systems, each on its images."""
    rows = [(f"{each['name']} ({each['rows']:,})", metrics[each["name"]].get(metric)) for each in systems]
    words = metric_label(metric)
    label = f"{words}: " + "; ".join(f"{name} {interval(value)}" for name, value in rows)
    colours = [series(i) for i in range(len(rows))]
    return {"words": words, "chart": charts.dots_chart(rows, colours, f"unpaired-{metric.replace('/', '-')}", label)}


def _differences(pairs: Sequence[UnpairedComparison], metric: str) -> dict[str, object]:
    """Draw the differences of one metric, a pair of systems a row."""
    of = [pair for pair in pairs if pair["metric"] == metric]
    rows = [(f"{shorten(pair['a'], 28)} {MINUS} {shorten(pair['b'], 28)}", pair["difference"]) for pair in of]
    words = metric_label(metric) + (" (lower is better)" if direction(metric) == "min" else "")
    label = f"Difference in {words}: " + "; ".join(f"{name} {interval(value, signed=True)}" for name, value in rows)
    key = f"unpaired-differences-{metric.replace('/', '-')}"
    return {"words": words, "chart": charts.dots_chart(rows, [INK] * len(rows), key, label, zero=True)}
