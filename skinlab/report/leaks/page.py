"""The table and the page of a leak meter, made from ``leaks.json`` alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from skinlab.evaluation.evidence.interval_form import Interval, Number
from skinlab.evaluation.leak_form import LeakEvidence, LeakResult, Measured
from skinlab.evaluation.metrics.registry import metric_in_sentence, metric_label
from skinlab.report.charts import dots_chart
from skinlab.report.rendering import render
from skinlab.report.svg import INK
from skinlab.report.wording import MINUS, bounds, number, percent

LED_BY = ("balanced_accuracy", "f1_positive")  # the first that a leak has is in the chart and the headline


def render_leaks(evidence: LeakEvidence) -> str:
    """Return the whole page, which needs no other file and no network."""
    rows = [(name_of(leak), points(found)) for leak, _, found in _leading(evidence)]
    described = "; ".join(f"{name} {in_points(found)}" for name, found in rows)
    return render(
        "leaks.html.j2",
        evidence=evidence,
        headline=headline(evidence),
        chart=dots_chart(rows, [INK] * len(rows), "leaks", f"Differences in points: {described}", zero=True),
        leaks=[_rows(leak) for leak in evidence["leaks"] if not leak["reason"]],
        not_run=[(name_of(leak), leak["reason"]) for leak in evidence["leaks"] if leak["reason"]],
    )


def print_leaks(evidence: LeakEvidence) -> None:
    """Print what the leaks are worth on the whole test, what was not run, and what limits the result."""
    level = f"{100 * evidence['level']:.4g}% intervals"
    table = Table(title=f"what leaks are worth: leaked {MINUS} clean, in points with {level}")
    for name in ("leak", "metric"):
        table.add_column(name, overflow="fold")
    for name in ("clean", "leaked", "points"):
        table.add_column(name, justify="right", no_wrap=True)
    for leak in evidence["leaks"]:
        for i, (metric, found) in enumerate(leak["metrics"].items()):
            cells = _cells(metric_label(metric, point=False), found)
            name = "" if i else name_of(leak)
            table.add_row(name, *(cells[each] for each in ("metric", "clean", "leaked", "points")))
        table.add_section()
    Console().print(table)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for leak in evidence["leaks"]:
        if leak["reason"]:
            console.print(f"not run: {name_of(leak)}: {leak['reason']}")
    console.print(headline(evidence))
    for caution in evidence["cautions"]:
        console.print(f"! {caution}")


def headline(evidence: LeakEvidence) -> str:
    """Return the leak that raises the leading metrics most, of those that do so by more than chance."""
    sure = [row for row in _leading(evidence) if (row[2]["low"] or 0) > 0]
    if not sure:
        return "No leak raised a metric by more than chance"
    leak, metric, found = max(sure, key=lambda row: row[2]["value"] or 0)
    return f"{name_of(leak)}: {in_points(points(found))} points of {metric_in_sentence(metric, point=False)}"


def _leading(evidence: LeakEvidence) -> Iterator[tuple[LeakResult, str, Interval]]:
    for leak in evidence["leaks"]:
        for metric in [name for name in LED_BY if name in leak["metrics"]][:1]:
            yield leak, metric, leak["metrics"][metric]["difference"]


def _rows(leak: LeakResult) -> dict[str, Any]:
    """Return what the page shows of a leak: its metrics, then those on what leaks alone."""
    parts = [("", leak["metrics"]), (", on what leaks", leak["on_leaked"])]
    at = leak["kind"] != "threshold"  # whose operating point is in its title
    rows = [
        _cells(metric_label(name, point=at) + where, found) for where, part in parts for name, found in part.items()
    ]
    return {"name": name_of(leak), "images": leak["images"], "rows": rows}


def _cells(metric: str, found: Measured) -> dict[str, str]:
    difference = points(found["difference"])
    return {
        "metric": metric,
        "clean": number(found["clean"]),
        "leaked": number(found["leaked"]),
        "points": in_points(difference),
        "note": "" if difference["low"] is not None else str(difference.get("note", "")),
    }


def name_of(leak: LeakResult) -> str:
    """Return the title of a leak with its share."""
    return leak["title"] if leak["share"] is None else f"{leak['title']}, {percent(leak['share'])}"


def points(found: Interval) -> Interval:
    """Return a difference in percentage points."""
    return {
        **found,
        "value": _times_100(found["value"]),
        "low": _times_100(found["low"]),
        "high": _times_100(found["high"]),
    }


def _times_100(value: Number) -> Number:
    return None if value is None else 100 * value


def in_points(found: Interval) -> str:
    """Write a difference in points with its interval."""
    return f"{number(found, 1, signed=True)} {bounds(found, 1, signed=True)}".strip()
