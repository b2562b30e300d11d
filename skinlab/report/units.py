"""Metrics by image, lesion and patient beside each other."""

from __future__ import annotations

from typing import Any

from skinlab.evaluation.evidence.form import System
from skinlab.evaluation.evidence.rules import called_rule
from skinlab.evaluation.metrics.registry import shown_metrics
from skinlab.report.operating_points import class_metrics, label_at, point_words, positive_metrics
from skinlab.report.wording import interval
from skinlab.text import quantity

DECISIONS = {
    "found": "Found (true positive)",
    "missed": "Missed (false negative)",
    "false_alarms": "False alarm (false positive)",
    "correctly_negative": "Correctly negative (true negative)",
}
RATES = ("sensitivity", "specificity")  # of the positive, which belong together
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


def decision_counts(system: System, rule: str | None) -> dict[str, Any] | None:
    """Return how many images, lesions and patients each decision is made of at the threshold of a rule.

    Returns:
        Operating point, units, and a row a decision; None without a rule, and in evidence of older versions.
    """
    row = next((row for row in system.get("thresholds") or [] if row["rule"] == rule), None)
    if row is None or "counts" not in row:
        return None
    columns: dict[str, Any] = {"images": row["counts"]}
    columns |= {PLURALS[unit["unit"]]: unit["counts"] for unit in system.get("units") or [] if "counts" in unit}
    rows = [
        (words, [f"{n:,.0f}" if float(n).is_integer() else f"{n:,.1f}" for n in (of[key] for of in columns.values())])
        for key, words in DECISIONS.items()
    ]
    return {"point": point_words(row), "units": list(columns), "rows": rows}


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
        first = [name for name in metrics if name in values and name not in RATES][:2]
        names = [*first, *(name for name in RATES if name in values)]
        shown = [f"{label_at(name, system, *at)} {interval(values[name])}" for name in names]
        size = f"{quantity(unit['rows'], unit['unit'])} of {quantity(unit['images'], 'image')}"
        if unit.get("each_image_a_lesion"):
            size += ", each image a lesion"
        found.append(f"By {unit['unit']} ({size}): {'; '.join(shown)}.")
    return found
