"""The page of a study, made from ``study.json`` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from skinlab.evaluation.metrics.registry import metric_label
from skinlab.report.charts import dots_chart, efficiency_chart
from skinlab.report.rendering import render
from skinlab.report.svg import INK, N_SERIES
from skinlab.report.wording import MINUS, count, interval, number

Study = Mapping[str, Any]
HEADLINES = {
    frozenset(): "There is no verdict on the unlabeled pool",
    frozenset({"no verdict"}): "There is no verdict on the unlabeled pool",
    frozenset({"helps"}): "The unlabeled pool helps",
    frozenset({"hurts"}): "The unlabeled pool hurts",
    frozenset({"no evidence"}): "No evidence that the unlabeled pool helps",
    frozenset({"helps", "no evidence"}): "The unlabeled pool helps at some budgets",
    frozenset({"hurts", "no evidence"}): "The unlabeled pool hurts at some budgets",
}


def render_study(study: Study) -> str:
    """Return the whole page, which needs no other file and no network.

    Args:
        study: what ``study.json`` holds.
    """
    settings, verdicts = study["settings"], study.get("verdicts") or []
    metrics = list(dict.fromkeys(name for row in study["budgets"] for arm in row["arms"] for name in arm["metrics"]))
    return render(
        "study.html.j2",
        settings=settings,
        provenance=study.get("provenance") or {},
        power=study.get("power") or {},
        headline=_headline(verdicts),
        verdicts=verdicts,
        arms=[
            {"name": arm, "ink": i % N_SERIES + 1, "title": settings["titles"][arm]}
            for i, arm in enumerate(settings["arms"])
        ],
        budgets=study["budgets"],
        metrics=metrics,
        curves=[{"name": metric_label(name), "chart": _curve(study, name)} for name in metrics],
        differences=[_differences(study, row) for row in study["budgets"]],
        pairs=study.get("differences") or [],
        names={row["budget"]: row["name"] for row in study["budgets"]},
        runs=study.get("runs") or {},
        cautions=study.get("cautions") or [],
    )


def _headline(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """Return the verdicts on the pool in a few words; a budget without one leaves open what the others say."""
    found = {each["verdict"] for each in verdicts if each["pool"]}
    found = found - {"no verdict"} | ({"no evidence"} if len(found) > 1 and "no verdict" in found else set()) or found
    return HEADLINES.get(frozenset(found), "The unlabeled pool helps and hurts")


def _curve(study: Study, metric: str) -> Markup:
    """Draw the arms of a study; each keeps its colour, whatever budgets it has."""
    lines, descriptions = [], []
    for arm in study["settings"]["arms"]:
        found = [
            (row["labelled"], each["metrics"][metric])
            for row in study["budgets"]
            for each in row["arms"]
            if each["name"] == arm and metric in each["metrics"]
        ]
        line = {key: [each[key] for _, each in found] for key in ("value", "low", "high")}
        lines.append((arm, line | {"labelled": [labelled for labelled, _ in found]}))
        descriptions.append(f"{arm} " + ", ".join(f"{number(each)} at {count(labelled)}" for labelled, each in found))
    axis = metric_label(metric)
    description = f"{axis} against labelled images: {'; '.join(descriptions)}"
    return efficiency_chart(lines, axis, f"curve-{metric}", description)


def _differences(study: Study, row: Mapping[str, Any]) -> dict[str, object]:
    """Draw the differences in the metric of the verdict at one budget."""
    judge_by = study["settings"]["judge_by"]
    pairs = [each for each in study["differences"] if each["budget"] == row["budget"] and each["metric"] == judge_by]
    rows = [(f"{each['a']} {MINUS} {each['b']}", each["difference"]) for each in pairs]
    label = f"{row['name']}: " + "; ".join(f"{who} {interval(what, signed=True)}" for who, what in rows)
    name = f"differences-{study['budgets'].index(row)}"
    chart = dots_chart(rows, [INK] * len(rows), name, label, zero=True) if rows else Markup("")
    return {"name": row["name"], "chart": chart}
