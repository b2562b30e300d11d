"""Comparisons of systems for the page: metrics side by side, their differences, and those of net benefit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skinlab.evaluation.evidence.comparison_form import Comparison, NetBenefitDifference
from skinlab.evaluation.evidence.form import Evidence
from skinlab.evaluation.evidence.interval_form import Interval, Metrics
from skinlab.evaluation.evidence.population_form import UnpairedComparison
from skinlab.evaluation.evidence.rules import called_rule, headline_rule
from skinlab.evaluation.metrics.operating_points import HALF, OF_CALLED, OF_POSITIVE, common_point, rule_words
from skinlab.evaluation.metrics.registry import direction, find_metric, metric_label
from skinlab.report import charts
from skinlab.report.headlines import headline, leading, positive_headline, ranked
from skinlab.report.operating_points import class_metrics, positive_metrics
from skinlab.report.svg import INK, series
from skinlab.report.wording import MINUS, interval, label_of, over_classes, shorten

MOST_SENTENCES = 6  # comparisons beyond which only the significant ones are listed at once


def comparison_section(evidence: Evidence) -> dict[str, object] | None:
    """Draw the systems beside each other and their differences; nothing with one system, or on different images."""
    systems, pairs = evidence["systems"], evidence["comparisons"]
    if len(systems) < 2 or "unpaired" in evidence:
        return None
    shown, rules = leading(evidence)["systems"], (called_rule(systems), headline_rule(systems))
    at_called = [class_metrics(each, rules[0]) for each in shown]
    many, called = [metrics for metrics, _ in at_called], common_point(point for _, point in at_called)
    binary = [positive_metrics(each, rules[1])[0] for each in shown]
    names = [each["name"] for each in shown]
    rule = rule_words(rules[1] or HALF)
    views = [(many, headline(many[0], "page"), ""), (binary, positive_headline(binary[0], "page"), ", positive")]
    beside = [
        _beside(names, metrics, name, view, rule if name in OF_POSITIVE else called)
        for metrics, shown, view in views
        for name in shown
        if all(name in each for each in metrics)
    ]
    compared = dict.fromkeys(pair["metric"] for pair in pairs)
    differences = [_differences(pairs, name, f"differences-{i}") for i, name in enumerate(compared)]
    level = evidence["settings"]["level"]
    significant = [pair for pair in pairs if pair.get("significant", (pair["p_holm"] or 1) < 1 - level)]
    listed = significant if len(pairs) > MOST_SENTENCES else pairs
    if evidence["settings"].get("endpoint"):
        listed = [pair for pair in pairs if pair.get("role") == "primary"]
    return {
        "beside": beside,
        "differences": differences,
        "pairs": pairs,
        "of_predictions": bool(pairs) and all(pair.get("claim") == "predictions" for pair in pairs),
        "sentences": [each["sentence"] for each in listed],
        "more": [each["sentence"] for each in pairs if each not in listed],
        "best": evidence.get("best", []),
        "leaderboard": _leaderboard(evidence, *rules) if len(shown) < len(systems) else [],
    }


def _leaderboard(
    evidence: Evidence, called: str | None, rule: str | None
) -> list[tuple[str, list[tuple[Interval | None, bool]]]]:
    """Return each system, the highest first, with its values and whether it may be the best by each metric of these."""
    among = [(each["metric"], set(each["systems"])) for each in evidence["best"]]
    rows = []
    for system in ranked(evidence):
        metrics, name = positive_metrics(system, rule)[0] | class_metrics(system, called)[0], system["name"]
        rows.append((name, [(metrics.get(metric), name in systems) for metric, systems in among]))
    return rows


def endpoint_label(evidence: Evidence) -> str:
    """Label the primary endpoint with the operating point of its comparison; "" where none was declared."""
    endpoint = evidence["settings"].get("endpoint")
    unpaired = evidence["unpaired"]["comparisons"] if "unpaired" in evidence else []
    primary = [pair for pair in (*evidence["comparisons"], *unpaired) if pair.get("role") == "primary"]
    return label_of(endpoint["metric"], primary[0] if primary else {}) if endpoint else ""


def _beside(names: Sequence[str], metrics: Sequence[Metrics], metric: str, view: str, point: str) -> dict[str, object]:
    """Draw one metric of all systems, that of decisions at an operating point."""
    rows = [(name, each[metric]) for name, each in zip(names, metrics, strict=True)]
    entry = find_metric(metric)
    base = metric.removesuffix("/positive")
    words = entry.short if view and entry and entry.short else metric_label(base, point=False) + view
    if metric in (*OF_POSITIVE, *OF_CALLED):
        words += f" ({point})"
    label = f"{words}: " + "; ".join(f"{who} {interval(what)}" for who, what in rows)
    colours = [series(i) for i in range(len(rows))]
    key = "beside-" + metric.replace("/", "-") + ("-binary" if view else "")
    return {"words": words, "chart": charts.dots_chart(rows, colours, key, label)}


def unpaired_section(evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template writes of systems on different images; None where they are on the same."""
    if "unpaired" not in evidence:
        return None
    pairs, systems = evidence["unpaired"]["comparisons"], evidence["systems"]
    shared = evidence["unpaired"]["metrics"]
    metrics = list(dict.fromkeys(pair["metric"] for pair in pairs))
    beside = dict.fromkeys(name for of_system in shared.values() for name in of_system)
    return {
        "pairs": pairs,
        "values": [[shared.get(pair[of], {}).get(pair["metric"]) for of in ("a", "b")] for pair in pairs],
        "over": over_classes(evidence),
        "systems": systems,
        "classes": evidence["unpaired"]["classes"],
        "beside": [_beside_on_own(evidence, name) for name in beside],
        "differences": [
            _differences(pairs, name, f"unpaired-differences-{name.replace('/', '-')}") for name in metrics
        ],
    }


def _beside_on_own(evidence: Evidence, metric: str) -> dict[str, object]:
    """Draw one metric of all systems, each on its images and at its operating point."""
    systems, unpaired = evidence["systems"], evidence["unpaired"]
    points = {name: of[metric] for name, of in unpaired.get("operating_points", {}).items() if of.get(metric)}
    rows = [(f"{each['name']} ({each['rows']:,})", unpaired["metrics"][each["name"]].get(metric)) for each in systems]
    words = label_of(metric, {"operating_point": common_point(points.values())} if points else {})
    label = f"{words}: " + "; ".join(f"{name} {interval(value)}" for name, value in rows)
    colours = [series(i) for i in range(len(rows))]
    chart = charts.dots_chart(rows, colours, f"unpaired-{metric.replace('/', '-')}", label)
    return {"words": words, "chart": chart, "points": points if len(set(points.values())) > 1 else {}}


def net_benefit_section(evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template writes about net benefit; None where systems aren't compared by it."""
    found = evidence.get("net_benefit")
    if not found:
        return None
    rows = found["differences"]
    thresholds = list(dict.fromkeys(row["threshold"] for row in rows))
    return {
        "prevalence": found["prevalence"],
        "calibrated": any(row["calibrated"] for row in rows),
        "rows": rows,
        "charts": [_benefit_chart([row for row in rows if row["threshold"] == at], at) for at in thresholds],
    }


def _benefit_chart(rows: list[NetBenefitDifference], threshold: float) -> dict[str, object]:
    """Draw the differences at one threshold, a pair of systems a row."""
    shown = [(_pair(row["a"], row["b"]), row["calibrated"] or row["difference"]) for row in rows]
    words = f"p \N{GREATER-THAN OR EQUAL TO} {threshold:g}"
    label = f"Difference in net benefit at {words}: "
    label += "; ".join(f"{name} {interval(value, signed=True)}" for name, value in shown)
    key = f"net-benefit-{threshold:g}".replace(".", "-")
    return {"words": words, "chart": charts.dots_chart(shown, [INK] * len(shown), key, label, zero=True)}


def _differences(
    pairs: Sequence[Comparison] | Sequence[UnpairedComparison], metric: str, key: str
) -> dict[str, object]:
    """Draw the differences of one metric, a pair of systems a row."""
    rows = [(_pair(pair["a"], pair["b"]), pair["difference"]) for pair in pairs if pair["metric"] == metric]
    first = next(pair for pair in pairs if pair["metric"] == metric)
    words = label_of(metric, first) + (" (lower is better)" if direction(metric) == "min" else "")
    label = f"Difference in {words}: " + "; ".join(f"{who} {interval(what, signed=True)}" for who, what in rows)
    return {"words": words, "chart": charts.dots_chart(rows, [INK] * len(rows), key, label, zero=True)}


def _pair(a: str, b: str) -> str:
    return f"{shorten(a, 28)} {MINUS} {shorten(b, 28)}"
