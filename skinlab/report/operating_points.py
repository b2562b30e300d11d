"""The operating point of the headline: that of the first threshold rule where systems have one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from skinlab.evaluation.evidence.comparison_form import Comparison
from skinlab.evaluation.evidence.form import Evidence, System, ThresholdRow
from skinlab.evaluation.evidence.interval_form import Metrics
from skinlab.evaluation.evidence.rules import decision_point, headline_rule
from skinlab.evaluation.metrics.operating_points import HALF, MOST_PROBABLE, OF_CALLED, OF_POSITIVE, threshold_words
from skinlab.evaluation.metrics.registry import metric_label

SHOWN = ("pr_auc_positive", "auroc/positive", *OF_POSITIVE)


def positive_metrics(system: System, rule: str | None) -> tuple[Metrics, str]:
    """Return the metrics of the positive classes against all others, and the operating point in words.

    Args:
        system: of the evidence.
        rule: at whose threshold sensitivity, specificity, PPV, NPV and F1 are; None for a probability of 0.5.
    """
    binary = system["binary"]["metrics"] if system["binary"] else system["metrics"]
    metrics: Metrics = {name: value for name, value in binary.items() if name in SHOWN}
    row = next((row for row in system.get("thresholds") or [] if row["rule"] == rule), None)
    if row is None:
        return metrics, HALF
    values = cast("Mapping[str, Any]", row)
    of_rule: Metrics = {name: values[name] for name in OF_POSITIVE if values.get(name)}
    return metrics | of_rule, point_words(row) + _joint(system, row)


def against_best_member(evidence: Evidence) -> list[Comparison]:
    """Return the comparison of an ensemble with its best member by F1 of the positive class; none where none is."""
    ensemble, systems = evidence.get("ensemble"), evidence["systems"]
    members = [each for each in systems if ensemble and each["binary"] and each["name"] in ensemble["members"]]
    rates = {each["name"]: positive_metrics(each, headline_rule(systems))[0].get("f1_positive") for each in members}
    values = {name: f1["value"] for name, f1 in rates.items() if f1 and f1["value"] is not None}
    best = max(values, key=lambda name: values[name], default=None)
    pairs = [pair for pair in evidence["comparisons"] if pair["metric"] == "f1_positive"]
    return [pair for pair in pairs if best in (pair["a"], pair["b"])]


def class_metrics(system: System, rule: str | None) -> tuple[Metrics, str]:
    """Return the metrics of all classes, and the operating point of those of decisions in words.

    Args:
        system: of the evidence.
        rule: of whose called class metrics of decisions are; None for the most probable class.
    """
    decision = system.get("decision")
    if not decision or decision["rule"] != rule:
        return system["metrics"], MOST_PROBABLE
    return system["metrics"] | decision["metrics"], decision_point(decision)


def label_at(name: str, system: System, rule: str | None, called: str = "") -> str:
    """Label a metric with its operating point: a rule's threshold, the called class, or else its own."""
    if called and name in OF_CALLED:
        return metric_label(name, point=called)
    row = next((row for row in system.get("thresholds") or [] if row["rule"] == rule), None)
    if row is None or name not in OF_POSITIVE:
        return metric_label(name)
    return f"{metric_label(name, point=False)} ({point_words(row)})"


def point_words(row: ThresholdRow) -> str:
    """Name the operating point of a rule.

    >>> point_words({"rule": "f1", "threshold": 0.3124, "applied_to": "test, 530 images"})
    'best F1, p ≥ 0.312'
    """
    cross_fitted = row["applied_to"].startswith("cross-fitted")
    return threshold_words(row["rule"], row["threshold"], cross_fitted=cross_fitted)


def applied_words(applied_to: str) -> str:
    """Say what a rule is applied to; one that is cross-fitted is chosen and applied on the same images.

    >>> applied_words("test, 530 images"), applied_words("cross-fitted, 530 images")
    ('applied to test, 530 images', 'cross-fitted, 530 images')
    """
    return applied_to if applied_to.startswith("cross-fitted") else f"applied to {applied_to}"


def first_training(system: System) -> str:
    """Name the training whose probabilities the parts show that are no means over several; "" where there is one.

    >>> first_training({"spread": {"replicate_axis": "seed", "metrics": {"auroc_macro": {"values": {"3": 0.8}}}}})
    'seed 3'
    """
    spread = system["spread"]
    if not spread or (spread["replicate_axis"] == "fold" and system["pooled_folds"]):
        return ""
    values = next((row["values"] for row in spread["metrics"].values()), {})
    return f"{spread['replicate_axis']} {next(iter(values))}" if values else f"first {spread['replicate_axis']}"


def _joint(system: System, row: ThresholdRow) -> str:
    """Return that thresholds are of the mean over several seeds or folds, where the metrics are means over all.

    In evidence of older versions they are of the first.
    """
    if not (spread := system["spread"]) or not first_training(system):
        return ""
    axis = spread["replicate_axis"]
    return f", mean of {spread['n']} {axis}s" if "mean of" in row["applied_to"] else f", first {axis}"


def decision_words(decision: Mapping[str, Any]) -> str:
    """Name a rule for the called class.

    >>> decision_words({"rule": "prior:auto", "power": 0.3}), decision_words({"rule": "cost", "power": None})
    ('probability over training share to the power 0.3 (prior:auto)', 'least expected cost')
    """
    rule, power = decision["rule"], decision["power"]
    if power is not None:
        return f"probability over training share to the power {power:.2g} ({rule})"
    words = {"cost": "least expected cost", "thresholds": "a weight for each class", "argmax": "most probable class"}
    return words[rule]
