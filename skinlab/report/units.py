"""Metrics by image, lesion and patient beside each other."""

from __future__ import annotations

from typing import Any

from skinlab.evaluation.evidence.form import System
from skinlab.evaluation.metrics.registry import metric_label, shown_metrics
from skinlab.report.wording import count, interval

PLURALS = {"image": "images", "lesion": "lesions", "patient": "patients"}


def units_section(system: System) -> dict[str, Any] | None:
    """Return the units with their counts, and a row of intervals a metric; None where there are images only."""
    units = system.get("units") or []
    if not units:
        return None
    known = [unit for unit in units if not unit["note"]]
    rows = []
    for kind in ("metrics", "binary"):
        block: Any = system["metrics"] if kind == "metrics" else (system["binary"] or {"metrics": {}})["metrics"]
        names = dict.fromkeys(name for unit in known for name in unit[kind])
        words = {name: metric_label(name.removesuffix("/positive")) for name in names}
        rows += [
            {"label": words[name], "positive": kind == "binary"}
            | {"values": [block.get(name), *(unit[kind].get(name) for unit in known)]}
            for name in names
        ]
    return {
        "units": [{"unit": "image", "rows": system["rows"]}, *known],
        "notes": [unit["note"] for unit in units if unit["note"]],
        "rows": rows,
        "plurals": PLURALS,
    }


def unit_sentences(system: System) -> list[str]:
    """Return a sentence on each unit: its counts and the first metrics."""
    found = []
    for unit in system.get("units") or []:
        if unit["note"]:
            found.append(f"{unit['note']}.")
            continue
        metrics = {metric.name: metric.label for metric in shown_metrics("page", "all", "positive")}
        values = unit["metrics"] | unit["binary"]
        shown = [f"{metrics[name]} {interval(values[name])}" for name in metrics if name in values][:3]
        size = f"{count(unit['rows'])} {PLURALS[unit['unit']]} of {count(unit['images'])} images"
        found.append(f"By {unit['unit']} ({size}): {'; '.join(shown)}.")
    return found
