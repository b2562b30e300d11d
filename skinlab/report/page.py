"""The report: one self-contained page, made from ``evidence.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from skinlab.evaluation.evidence.form import Evidence, System
from skinlab.evaluation.evidence.interval_form import Interval, Metrics
from skinlab.evaluation.evidence.rules import called_rule, headline_rule
from skinlab.evaluation.metrics import registry as metric_registry
from skinlab.evaluation.metrics.operating_points import MOST_PROBABLE, OF_CALLED, OF_POSITIVE
from skinlab.evaluation.metrics.registry import find_metric, metric_label, shown_metrics
from skinlab.processes.progress import track
from skinlab.report import charts
from skinlab.report.comparisons import comparison_section, endpoint_label, net_benefit_section, unpaired_section
from skinlab.report.flow import flow_chart
from skinlab.report.headlines import columns, headline, leading, positive_headline, ranked
from skinlab.report.in_short import in_short
from skinlab.report.openings import opening_lines
from skinlab.report.operating_points import class_metrics, first_training, positive_metrics
from skinlab.report.rendering import data_uri, render
from skinlab.report.subgroups import subgroup_section
from skinlab.report.svg import N_SERIES, series
from skinlab.report.units import decision_counts, units_section
from skinlab.report.wording import ensemble_words, group_noun, interval

FEW = 100  # positives below which a threshold is uncertain


def render_report(evidence: Evidence, images: Mapping[str, bytes] | None = None) -> str:
    """Return the whole page, which needs no other file and no network.

    Args:
        evidence: the content of ``evidence.json``; a block that is null is left out. A worst mistake may have a
            ``saliency``, its Grad-CAM as a data URI.
        images: image id → JPEG or PNG, for the worst mistakes.
    """
    rules, shown = (headline_rule(evidence["systems"]), called_rule(evidence["systems"])), leading(evidence)
    places = track(range(len(shown["systems"])), "report of each system", len(shown["systems"]))
    systems = [_system(shown, i, images or {}, *rules) for i in places]
    return render(
        "report.html.j2",
        settings=evidence["settings"],
        endpoint_label=endpoint_label(evidence),
        provenance=evidence["provenance"],
        cost_ratio=evidence["settings"]["cost_ratio"],
        systems=systems,
        n_systems=len(evidence["systems"]),
        comparison=comparison_section(evidence),
        net_benefit=net_benefit_section(evidence),
        unpaired=unpaired_section(evidence),
        in_short=in_short({**evidence, "systems": ranked(evidence)} if shown is not evidence else evidence),
        ensemble=ensemble_words(evidence.get("ensemble")),
        tta=evidence.get("tta") or [],
        cautions=evidence["cautions"],
        openings=opening_lines(evidence),
    )


def _system(
    evidence: Evidence, place: int, images: Mapping[str, bytes], rule: str | None, called: str | None
) -> dict[str, object]:
    """Return what the template writes about one system: its evidence, and what is drawn or laid out from it.

    Sensitivity, specificity, PPV and NPV of the headline are at the threshold of ``rule``, metrics of the called class
    by ``called``.
    """
    system = evidence["systems"][place]
    classes = evidence["settings"]["classes"]
    positive = evidence["settings"]["positive"] or classes[-1:]
    spread = system["spread"]["metrics"] if system["spread"] else {}
    at_rule, point = positive_metrics(system, rule)
    of_classes, called_point = class_metrics(system, called)
    class_table, class_point = class_metrics(system, called_rule([system]))
    return dict(system) | {
        "key": f"s{place + 1}",
        "ink": place % N_SERIES + 1,
        "classes": classes,
        "headline": _headline(headline(of_classes, "page"), called_point),
        "positive": system["binary"]["positive"] if system["binary"] else positive,
        "binary_headline": _headline(positive_headline(at_rule, "page"), point),
        "decision_counts": decision_counts(system, rule),
        "first_training": first_training(system),
        "spread_metrics": {name: row for name, row in spread.items() if "/" not in name},
        "class_columns": columns(system["metrics"], "page", classes),
        "class_metrics": class_table,
        "class_point": class_point,
        "confusion_point": system.get("confusion_point", MOST_PROBABLE),
        "all_metrics": _all_metrics(system),
        "calibration_columns": columns(system["metrics"], "calibration", classes),
        "calibration_metrics": shown_metrics("calibration", "all"),
        "resampled": [metric for metric in metric_registry.METRICS if metric.resampled],
        "units_section": units_section(system),
        "subgroup_section": subgroup_section(system, place),
        "confusion_shares": system.get("confusion_shares"),
        "charts": _charts(system, place),
        "curve_charts": _curves(system, place, classes),
        "uncertain": [
            row for row in system["thresholds"] or [] if row["positives"] is not None and row["positives"] < FEW
        ],
        "worst_mistakes": [
            dict(row) | ({"image": data_uri(image)} if (image := images.get(row["image_id"])) else {})
            for row in system["worst_mistakes"] or []
        ],
    }


def _all_metrics(system: System) -> list[tuple[str, Interval]]:
    """Return every metric with its label; those of decisions at p >= 0.5 and of the most probable class."""
    found = [
        (metric_label(name, point=MOST_PROBABLE if name in OF_CALLED else True), value)
        for name, value in system["metrics"].items()
    ]
    binary = system["binary"]["metrics"] if system["binary"] else {}
    return found + [(f"Binary: {metric_label(name)}", value) for name, value in binary.items()]


def _headline(values: Metrics, point: str) -> list[dict[str, object]]:
    """Return label, operating point (where a metric is of decisions), value and meaning of each metric."""
    found = [(name.removesuffix("/positive"), value) for name, value in values.items()]
    return [
        {
            "label": metric_label(name, point=False),
            "point": point if name in (*OF_POSITIVE, *OF_CALLED) else "",
            "value": value,
            "means": metric.meaning if (metric := find_metric(name)) else "",
        }
        for name, value in found
    ]


def _charts(system: System, place: int) -> dict[str, Markup]:
    """Draw the single charts of a system that has what they show."""
    colour, key, name = series(place), f"s{place + 1}", system["name"]
    drawn: dict[str, Markup] = {}
    if reliability := system["reliability"]:
        drawn["reliability"] = charts.reliability_chart(
            reliability, colour, f"{key}-reliability", f"Reliability of {name}: accuracy against confidence"
        )
    if flow := system.get("flow"):
        drawn["flow"] = flow_chart(flow, colour, f"{key}-flow", group_noun(system))
    if decision := system["decision_curve"]:
        drawn["decision"] = charts.decision_chart(
            decision, colour, f"{key}-decision", f"Decision curve of {name}: net benefit against threshold"
        )
    if curve := system.get("calibration_curve"):
        drawn["calibration_curve"] = charts.calibration_chart(
            curve, colour, f"{key}-calibration", f"Calibration of {name}: observed share of positives"
        )
    if risk := system["risk_coverage"]:
        drawn["risk"] = charts.risk_coverage_chart(
            risk, colour, f"{key}-risk", f"Risk and coverage of {name}: error rate among the images kept"
        )
    return drawn


def _curves(system: System, place: int, classes: Sequence[str]) -> list[dict[str, object]]:
    """Draw a PR and a ROC curve a class, the binary view first."""
    curves, support, metrics = system["curves"], system["support"], system["metrics"]
    positive = system["binary"] or {"positive": [], "metrics": {}}
    total = sum(support.values()) or 1
    drawn = []
    for i, of in enumerate([*(each for each in curves if each not in classes), *(c for c in classes if c in curves)]):
        merged = of not in classes
        rows = sum(support.get(each, 0) for each in positive["positive"]) if merged else support.get(of, 0)
        areas = positive["metrics"] if merged else metrics
        panel: dict[str, object] = {"name": of, "merged": merged, "rows": rows}
        for kind, area, curve in (("pr", "pr_auc", curves[of]["pr"]), ("roc", "auroc", curves[of]["roc"])):
            panel[area] = areas.get(f"{area}/{of}")
            label = f"{charts.AXES[kind][1]} against {charts.AXES[kind][0]} for {of}: area {interval(panel[area])}"
            key = f"s{place + 1}-{kind}-{i}"
            chance = rows / total if rows else None
            panel[kind] = charts.curve_chart(curve, kind, series(place), chance, key, label)
        drawn.append(panel)
    return drawn
