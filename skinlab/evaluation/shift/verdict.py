"""The verdict of the battery: what breaks, what to watch, what holds, and what was not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skinlab.evaluation.evidence.interval_form import Interval
from skinlab.evaluation.shift.flags import in_words, interval_in_words, number, span
from skinlab.evaluation.shift.form import Condition, ProbeResult, Verdict

CALIBRATION = ("ece", "calibration_slope/positive", "calibration_intercept/positive")


def verdict(probes: Sequence[ProbeResult], home: Condition | None, outside: Condition | None) -> Verdict:
    """Return the verdict of all probes, the largest findings first.

    Args:
        probes: what each found.
        home: the unaltered images at home.
        outside: those of other origin.
    """
    flags = sorted(((flag, probe) for probe in probes for flag in probe["flags"]), key=lambda each: -each[0]["size"])
    named = {
        level: [f"{probe['title']}: {flag['sentence']}" for flag, probe in flags if flag["level"] == level]
        for level in ("breaks", "watch")
    }
    return {
        "headline": [_headline(name, each) for name, each in (("At home", home), ("Outside", outside)) if each],
        "breaks": named["breaks"],
        "watch": named["watch"],
        "trainings": [line for each in probes for line in each["outcome"]],
        "holds": [
            each["title"] for each in probes if each["status"] == "run" and not each["flags"] and not each["outcome"]
        ],
        "beside": [
            {"title": each["title"], "here": _largest(each), "published": each["published"]}
            for each in probes
            if each["published"]
        ],
        "not_run": [f"{each['title']}: {each['reason']}" for each in probes if each["status"] == "not run"],
    }


def _largest(probe: ProbeResult) -> str:
    """Return the condition that lowers sensitivity most and the one that lowers specificity most, where any does."""
    if probe["status"] == "not run":
        return "not run"
    if probe["outcome"]:
        return " ".join(probe["outcome"])
    found = []
    for metric in ("sensitivity", "specificity"):
        rows = [
            (number(each["changes"][metric]["difference"]["value"]), each)
            for each in probe["conditions"]
            if metric in each["changes"] and each["changes"][metric]["difference"]["value"] is not None
        ]
        size, worst = min(rows, key=lambda row: row[0], default=(0.0, None))
        if worst is not None and size < 0:
            found.append(f"{metric} {span(worst['changes'][metric])}, {in_words(worst).removesuffix(',')}")
    return "; ".join(found) or next((flag["sentence"] for flag in probe["flags"]), "no change for the worse")


def _headline(where: str, found: Condition) -> str:
    """Return what harms patients first: sensitivity at the frozen threshold, then calibration."""
    metrics: Mapping[str, Interval] = found["metrics"]
    rates = ", ".join(f"{name} {interval_in_words(metrics[name])}" for name in ("sensitivity", "specificity"))
    ece, slope, intercept = (interval_in_words(metrics[name]) for name in CALIBRATION)
    return (
        f"{where}, {found['images']} images: {rates} at the frozen threshold; calibration error {ece}, slope {slope}, "
        f"intercept {intercept}; AUROC {interval_in_words(metrics['auroc/positive'])}."
    )
