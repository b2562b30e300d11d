"""Select the metrics and systems that a place shows; put calibration and expectations on a new test set in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from skinlab.evaluation.evidence.form import Evidence, System
from skinlab.evaluation.metrics.metric import Place
from skinlab.evaluation.metrics.operating_points import rule_words
from skinlab.evaluation.metrics.registry import metric_label, shown_metrics
from skinlab.report.wording import count, interval, interval_note, number, percent

MOST_SHOWN = 12  # systems with a section of their own

T = TypeVar("T")


def headline(values: Mapping[str, T], place: Place) -> dict[str, T]:
    """Return the metrics of all images that a place shows, in the registry's order.

    >>> list(headline({"mcc": 0.5, "balanced_accuracy": 0.8, "accuracy": 0.9}, "card"))
    ['balanced_accuracy', 'mcc']
    """
    return _known(values, (metric.name for metric in shown_metrics(place, "all")))


def positive_headline(values: Mapping[str, T], place: Place) -> dict[str, T]:
    """Return the metrics of the positive classes against all others that a place shows."""
    names = [metric.name for metric in shown_metrics(place, "positive")]
    return _known(values, [*names, *(f"{metric.name}/positive" for metric in shown_metrics("positive_view", "class"))])


def columns(values: Mapping[str, object], place: Place, classes: Sequence[str]) -> list[str]:
    """Return the metrics per class that a place shows and some class has.

    >>> columns({"f1/mel": 0.5, "support/mel": 9}, "page", ["nv", "mel"])
    ['f1']
    """
    names = [metric.name for metric in shown_metrics(place, "class")]
    return [name for name in names if any(f"{name}/{each}" in values for each in classes)]


def _known(values: Mapping[str, T], names: Iterable[str]) -> dict[str, T]:
    return {name: values[name] for name in names if values.get(name) is not None}


def expectation_title(expected: Mapping[str, Any]) -> str:
    r"""Name the new test set.

    >>> expectation_title({"n": 530, "prevalence": 0.057}).replace("\xa0", " ")
    'On a new test set of 530 images with 5.7 % positives'
    """
    return f"On a new test set of {count(expected['n'])} images with {percent(expected['prevalence'], 1)} positives"


def expectation_rows(expected: Mapping[str, Any], n_rules: int | None = None) -> list[tuple[str, str]]:
    """Return the label of each expected metric and its value with the prediction interval, of all or the first rules.

    >>> at = [{"rule": "f1", "threshold": 0.5, "metrics": {"f1_positive": {"value": 0.4, "low": 0.3, "high": 0.5}}}]
    >>> expectation_rows({"metrics": {}, "at_thresholds": at})
    [('F1 of the positive class at best F1 (p ≥ 0.500)', '0.400 [0.300, 0.500]')]
    """
    labels = {"brier": "Brier score of positive against other"}  # not that of all classes
    rows = [(labels.get(name, metric_label(name)), _expected(value)) for name, value in expected["metrics"].items()]
    for each in expected["at_thresholds"][:n_rules]:
        place = f"at {rule_words(each['rule'])} (p ≥ {each['threshold']:.3f})"
        for name, value in each["metrics"].items():
            rows.append((f"{metric_label(name).partition(' (p ')[0]} {place}", _expected(value)))
    return rows


def _expected(value: Mapping[str, Any]) -> str:
    note = interval_note(value)
    return f"{interval(value)} ({note})" if note else interval(value)


def calibration_sentences(system: System) -> list[str]:
    """Return what calibration changes, how far the curve of the positive is off, and what conformal sets cover."""
    found = []
    if differences := system["calibration_differences"]:
        changes = (f"{name} {interval(row['log_loss'], signed=True)}" for name, row in differences.items())
        stated = system.get("calibration_prevalence")
        at = f" at a prevalence of {percent(stated, 1)}" if stated else ""
        found.append(f"Log-loss after calibration less that before{at}: {', '.join(changes)}.")
    if curve := system.get("calibration_curve"):
        found.append(f"{curve_sentence(curve, system.get('calibration_prevalence'))}.")
    if conformal := system["conformal"]:
        share, unit = interval(conformal["coverage"].get("overall")), conformal["unit"]
        sizes = f"{number(conformal['mean_size'], 2)} classes on average"
        found.append(f"Conformal sets for {percent(conformal['level'])} of the {unit}s: {share} are covered, {sizes}.")
    return found


def curve_sentence(curve: Mapping[str, Any], stated: float | None = None) -> str:
    """State the distances of the calibration curve of the positive, which is never at a stated prevalence.

    >>> curve_sentence({"ici": 0.06, "e50": 0.05, "e90": 0.1})
    'Calibration curve of the positive, mean distance (ICI) 0.060, median 0.050, 90th percentile 0.100'
    """
    ici, e50, e90 = (number(curve[name]) for name in ("ici", "e50", "e90"))
    note = f" ({curve['note']})" if curve.get("note") else ""
    what = "Calibration curve of the positive" + (", at the prevalence of the images" if stated else "")
    return f"{what}, mean distance (ICI) {ici}, median {e50}, 90th percentile {e90}{note}"


def ranked(evidence: Evidence) -> list[System]:
    """Return the systems of a leaderboard, the highest by its first metric first; those of other evidence as they are.

    An ensemble comes before its members.
    """
    systems = evidence["systems"]
    if not (best := evidence.get("best")):
        return systems
    places: Mapping[str, int] = {name: place for place, name in enumerate(best[0]["p"])}
    ensemble = evidence.get("ensemble")
    members = ensemble["members"] if ensemble else [system["name"] for system in systems]
    return sorted(systems, key=lambda system: (system["name"] in members, places[system["name"]]))


def leading(evidence: Evidence) -> Evidence:
    """Return the evidence of the systems that are shown one by one: all, or of many the first of `ranked`."""
    if len(evidence["systems"]) <= MOST_SHOWN or not evidence.get("best"):
        return evidence
    return {**evidence, "systems": ranked(evidence)[:MOST_SHOWN]}
