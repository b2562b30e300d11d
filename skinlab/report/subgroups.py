"""The subgroups of a system for the page: their table, and charts of the metrics and of the differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skinlab.evaluation.evidence.form import System
from skinlab.evaluation.evidence.population_form import Subgroup
from skinlab.evaluation.evidence.subgroups import RANKED_BY
from skinlab.report import charts
from skinlab.report.operating_points import label_at
from skinlab.report.svg import INK, series
from skinlab.report.wording import interval, label_of_column

CHARTED = (RANKED_BY, "sensitivity")


def subgroup_section(system: System, place: int) -> dict[str, Any] | None:
    """Return what the template writes of a system's subgroups; None where there are none.

    Args:
        system: its evidence.
        place: of the system in the page, for its colour.
    """
    found = system["subgroups"]
    if not found:
        return None
    return {
        "columns": found["columns"],
        "rows": found["subgroups"],
        "metrics": subgroup_metrics(system),
        "ranked_by": _label(RANKED_BY, system),
        "ranking": RANKED_BY,
        "compared": found["compared"],
        "lowest": found["lowest"],
        "charts": [
            chart
            for name in CHARTED
            for chart in (
                _values(found["subgroups"], name, _label(name, system), place),
                _differences(found["subgroups"], name, _label(name, system), place),
            )
            if chart
        ],
    }


def subgroup_metrics(system: System) -> dict[str, str]:
    """Return the metrics that some subgroup has, with their labels and operating points."""
    found = system["subgroups"]
    if not found:
        return {}
    blocks = [block for each in found["subgroups"] for block in (each["metrics"], each["binary"])]
    names = dict.fromkeys(name for block in blocks for name in block or {})
    return {name: _label(name, system) for name in names}


def _label(name: str, system: System) -> str:
    if not (found := system["subgroups"]):
        return label_at(name, system, None)
    return label_at(name, system, found.get("rule"), found.get("called", ""))


def _name(each: Subgroup) -> str:
    return f"{label_of_column(each['column'])} {each['value']}"


def _classes(each: Subgroup, metric: str) -> str:
    """Return over how many classes a macro metric is averaged, where it is not over all."""
    n = len(each["classes"])
    return f", {n} classes" if metric in (each["metrics"] or {}) and n < len(each["support"]) else ""


def _values(subgroups: Sequence[Subgroup], metric: str, words: str, place: int) -> dict[str, object] | None:
    """Draw a metric of each subgroup."""
    rows = [
        (_name(each) + _classes(each, metric), ((each["metrics"] or {}) | (each["binary"] or {})).get(metric))
        for each in subgroups
    ]
    shown = [(name, value) for name, value in rows if value]
    if not shown:
        return None
    label = f"{words} by subgroup: " + "; ".join(f"{name} {interval(value)}" for name, value in shown)
    key = f"s{place + 1}-subgroups-{metric}"
    return {"words": words, "chart": charts.dots_chart(shown, [series(place)] * len(shown), key, label)}


def _differences(subgroups: Sequence[Subgroup], metric: str, words: str, place: int) -> dict[str, object] | None:
    """Draw the difference of each subgroup to the other images."""
    rows = [
        (_name(each), each["differences"][metric]["difference"]) for each in subgroups if metric in each["differences"]
    ]
    if not rows:
        return None
    words = f"{words}: difference to the other images"
    label = f"{words}: " + "; ".join(f"{name} {interval(value, signed=True)}" for name, value in rows)
    key = f"s{place + 1}-subgroup-differences-{metric}"
    return {"words": words, "chart": charts.dots_chart(rows, [INK] * len(rows), key, label, zero=True)}
