"""The model card, filled from ``evidence.json``; values that it lacks stay visible blanks."""

from __future__ import annotations

from typing import Any

from skinlab.evaluation.evidence.form import Evidence, System
from skinlab.evaluation.evidence.rules import called_rule, headline_rule
from skinlab.evaluation.metrics.operating_points import OF_CALLED, OF_POSITIVE
from skinlab.evaluation.metrics.registry import metric_label, shown_metrics
from skinlab.report.flow import flow_sentences
from skinlab.report.headlines import columns, headline, leading, positive_headline
from skinlab.report.openings import opening_lines
from skinlab.report.operating_points import class_metrics, first_training, positive_metrics
from skinlab.report.rendering import render
from skinlab.report.subgroups import subgroup_metrics
from skinlab.report.units import decision_counts, unit_sentences
from skinlab.report.wording import group_noun, number

# What of a predictions table's meta.json describes the model and how it was trained.
MODEL_META = {
    "run_id": "Run",
    "checkpoint_sha256": "Checkpoint, SHA-256",
    "image_size": "Image size, pixels",
    "fit": "Fitted to it by",
    "loss": "Loss",
    "tta": "Test-time augmentation",
    "training_prior": "Training prior, in the order of the classes",
}


def render_card(evidence: Evidence) -> str:
    """Return the card as Markdown (Mitchell et al., 2019: Model Cards for Model Reporting).

    Args:
        evidence: the content of ``evidence.json``; a block that is null is left out.
    """
    rules = headline_rule(evidence["systems"]), called_rule(evidence["systems"])
    return render(
        "model_card.md.j2",
        settings=evidence["settings"],
        provenance=evidence["provenance"],
        systems=[_system(evidence, each, *rules) for each in leading(evidence)["systems"]],
        n_systems=len(evidence["systems"]),
        comparisons=evidence["unpaired"]["comparisons"] if "unpaired" in evidence else evidence["comparisons"],
        best=[each["sentence"] for each in evidence.get("best", [])],
        net_benefit=(evidence.get("net_benefit") or {"sentences": []})["sentences"],
        cautions=evidence["cautions"],
        openings=opening_lines(evidence),
    )


def _system(evidence: Evidence, system: System, rule: str | None, called: str | None) -> dict[str, object]:
    """Lay out the tables of one system, metrics of the positive at a rule's threshold, of the called class by one."""
    metrics, (at_rule, point) = system["metrics"], positive_metrics(system, rule)
    of_classes, called_point = class_metrics(system, called)
    class_table, class_point = class_metrics(system, called_rule([system]))
    spread = system["spread"]["metrics"] if system["spread"] else {}
    classes = evidence["settings"]["classes"]
    metas = [source["meta"] for source in system["sources"]]
    return dict(system) | {
        "headline": [
            (metric_label(name, point=called_point if name in OF_CALLED else False), value)
            for name, value in headline(of_classes, "card").items()
        ],
        "positive": system["binary"]["positive"] if system["binary"] else [],
        "binary_headline": [
            (metric_label(name, point=False) + (f" ({point})" if name in OF_POSITIVE else ""), value)
            for name, value in positive_headline(at_rule, "card").items()
            if system["binary"]
        ],
        "decision_counts": decision_counts(system, rule),
        "first_training": first_training(system),
        "spread_metrics": headline(spread, "card"),
        "class_columns": columns(metrics, "card", classes),
        "class_metrics": class_table,
        "class_point": class_point,
        "calibration_columns": shown_metrics("calibration", "all"),
        "classes": classes,
        "flow_sentences": flow_sentences(system.get("flow"), group_noun(system)),
        "unit_sentences": unit_sentences(system),
        "subgroup_metrics": subgroup_metrics(system),
        "model": {label: values for name, label in MODEL_META.items() if (values := _distinct(metas, name))},
    }


def _distinct(metas: list[dict[str, Any]], name: str) -> str:
    """Return the distinct values of a key in the metadata of the tables."""
    values = [meta[name] for meta in metas if meta.get(name) is not None]
    texts = (", ".join(map(number, each)) if isinstance(each, list) else str(each) for each in values)
    return "; ".join(dict.fromkeys(texts))
