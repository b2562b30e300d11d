"""Metrics by image, lesion and patient beside each other."""

from __future__ import annotations

from typing import Any

from skinlab.evaluation.evidence.form import System
from skinlab.evaluation.evidence.rules import called_rule
from skinlab.evaluation.metrics.registry import shown_metrics
from skinlab.report.operating_points import class_metrics, label_at, positive_metrics
from skinlab.report.wording import interval
from skinlab.text import quantity

PLURALS = {"image": "images", "lesion": "lesions", "patient": "patients"}


def units_section(system: System) -> dict[str, Any] | None:
    """Return the units with their counts, and a row of intervals a metric; None where there are images only."""
    units = system.get("units") or []
    if not units:
        return None
    known = [unit for unit in units if not unit["note"]]
    of_called = class_metrics(system, called_rule([system]))[0]
    rows = []
    for kind in ("metrics", "binary"):
        rule = known[0].get("rule") if known and kind == "binary" else None
        called = known[0].get("called", "") if known and kind == "metrics" else ""
        block: Any = of_called if kind == "metrics" and called else system["metrics"]
        if kind == "binary":
            block = positive_metrics(system, rule)[0]
        if kind == "binary" and system["binary"]:
            block = system["binary"]["metrics"] | block
        names = dict.fromkeys(name for unit in known for name in unit[kind])
        words = {name: label_at(name.removesuffix("/positive"), system, rule, called) for name in names}
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
        metrics = [metric.name for metric in shown_metrics("page", "all", "positive")]
        values = unit["metrics"] | unit["binary"]
        at = unit.get("rule"), unit.get("called", "")
        shown = [f"{label_at(name, system, *at)} {interval(values[name])}" for name in metrics if name in values][:3]
        size = f"{quantity(unit['rows'], unit['unit'])} of {quantity(unit['images'], 'image')}"
        if unit.get("each_image_a_lesion"):
            size += ", each image a lesion"
        found.append(f"By {unit['unit']} ({size}): {'; '.join(shown)}.")
    return found
