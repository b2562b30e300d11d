"""Tables printed at the end of a command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from skinlab.evaluation.evidence.form import Evidence, System
from skinlab.evaluation.evidence.interval_form import Interval
from skinlab.evaluation.evidence.rules import called_rule, headline_rule
from skinlab.evaluation.metrics.metric import Metric
from skinlab.evaluation.metrics.operating_points import (
    HALF,
    MOST_PROBABLE,
    OF_CALLED,
    OF_POSITIVE,
    common_point,
    operating_point,
    rule_words,
)
from skinlab.evaluation.metrics.registry import metric_label, shown_metrics
from skinlab.evaluation.thresholds.choice import FIXED_BEFOREHAND, is_fixed
from skinlab.report.decisions import print_decisions
from skinlab.report.headlines import calibration_sentences, expectation_rows, expectation_title
from skinlab.report.openings import opening_lines
from skinlab.report.operating_points import applied_words, class_metrics, first_training, positive_metrics
from skinlab.report.run_files import best_epoch_words, better_epoch
from skinlab.report.units import unit_sentences
from skinlab.report.wording import DASH, ensemble_words, overlap_sentence
from skinlab.text import quantity

LEADERBOARD_COLUMNS = 3
MOST_CLASSES = 8  # that a line lists
FEW_IMAGES = 10  # whose probabilities are printed
Floats = npt.NDArray[np.floating]


def print_results(
    metrics: Mapping[str, Any], run_dir: Path, evidence: Evidence | None = None, printed: Evidence | None = None
) -> None:
    """Print headline and per-class metrics of val, and of an opened test, with intervals, and where the run lies.

    After an earlier job of the same sweep only the headline metrics and other cautions than its own are printed.

    Args:
        metrics: as in ``metrics.json``.
        run_dir: of the run.
        evidence: of the run's val or test, if there is any.
        printed: that of an earlier job of the same sweep, if there is one.
    """
    console, brief = Console(), bool(evidence and printed)
    splits = [split for split in ("val", "test") if f"{split}/balanced_accuracy" in metrics]
    intervals = evidence["systems"][0]["metrics"] if evidence else {}
    last = splits[-1]
    judged = evidence["systems"][0]["sources"][0]["split"] if evidence else last
    level = f", {100 * evidence['settings']['level']:.4g}% intervals" if evidence else ""
    level = level.replace(", ", f", {judged} with ", 1) if len(splits) > 1 else level
    table = Table(title=f"{best_epoch_words(metrics, run_dir)}, from {metrics['init_used']} weights{level}")
    table.add_column("metric")
    for split in splits:
        table.add_column(split, justify="right")

    def cell(split: str, name: str) -> str:
        found = intervals.get(name) if split == judged else None
        return _interval(found) if found else _number(metrics.get(f"{split}/{name}"))

    positive = [metrics["positive"]] if "positive" in metrics else []
    for metric in shown_metrics("terminal", "all", "positive"):
        name = metric.name
        if f"{last}/{name}" in metrics:
            table.add_row(_label(metric, positive), *(cell(split, name) for split in splits))
    table.add_section()
    for key in metrics:
        if key.startswith(f"{last}/support/") and not brief:
            name = key.removeprefix(f"{last}/support/")
            cells = (
                f"{_number(metrics.get(f'{s}/f1/{name}'))} / {_number(metrics.get(f'{s}/pr_auc/{name}'))}"
                for s in splits
            )
            table.add_row(f"F1 ({MOST_PROBABLE}) / AP of {name} ({metrics[key]:.0f} in {last})", *cells)
    overlaps = _print_overlap(console, evidence) if evidence and not brief else []
    console.print(table)
    if line := better_epoch(metrics, run_dir):
        console.print(f"- {line}", soft_wrap=True, highlight=False, markup=False)
    if evidence:
        if printed:
            _print_cautions(console, evidence, _cautions_of(printed, evidence["systems"][0]["name"]))
        else:
            _print_notes(console, evidence, overlaps)
        console.print(f"report: {run_dir / 'report.html'}", soft_wrap=True, highlight=False)
    if brief:
        return
    console.print(f"run: {run_dir}", soft_wrap=True, highlight=False)
    is_job = (run_dir.parent / "multirun.yaml").is_file()  # of a sweep, whose test stays locked over recipes
    if "test" not in splits and not is_job and (run_dir / "predictions" / "test.csv").is_file():
        command = f"python -m skinlab.evaluate predictions={run_dir} split=test output={run_dir / 'test'}"
        console.print(f"to open the test, once the run is final: {command}", soft_wrap=True, highlight=False)


def _print_notes(console: Console, evidence: Evidence, printed: Sequence[str]) -> None:
    """Print what follows the metrics of a run, without cautions that were printed above them."""
    _print_thresholds(console, evidence)
    print_decisions(console, evidence)
    _print_calibration(console, evidence)
    print_subgroups(console, evidence)
    _print_cautions(console, evidence, printed)
    _print_openings(console, evidence)


def print_places(places: Mapping[str, str | Path | None]) -> None:
    """Print where results lie and how to go on with them, a line each that is not None, ``report: DIR/report.html``."""
    console = Console()
    for what, place in ((what, place) for what, place in places.items() if place is not None):
        console.print(f"{what}: {place}", soft_wrap=True, highlight=False, markup=False)


def print_images(
    ids: Sequence[str], probabilities: Floats, classes: Sequence[str], called: npt.NDArray[np.int64], rule: str
) -> None:
    """Print a line an image with its called class and the probabilities, of a few images only.

    Args:
        ids: of N images.
        probabilities: ``(N, C)``.
        classes: C names.
        called: ``(N,)`` number of the class that each is called.
        rule: by what it is called; "" where it is the most probable one.
    """
    if len(ids) > FEW_IMAGES:
        return
    console = Console()
    for image_id, row, number in zip(ids, probabilities, called, strict=True):
        likely = np.argsort(-row, kind="stable")
        shown = ", ".join(f"{classes[i]} {row[i]:.3f}" for i in likely[:MOST_CLASSES])
        more = ", ..." if len(row) > MOST_CLASSES else ""
        what = f"called {classes[number]} ({rule})" if rule else f"most probable {classes[number]}"
        console.print(f"{image_id}: {what}; {shown}{more}", soft_wrap=True, highlight=False, markup=False)


def predict_by(model: Path) -> str:
    """Return the command that predicts images by a model."""
    return shlex.join(["python", "-m", "skinlab.predict", f"ckpt={model}", "input=FOLDER", "output=FILE.csv"])


def print_evidence(evidence: Evidence, output: Path) -> None:
    """Print the headline of every system with its intervals, the comparisons, the cautions and where the report is.

    Args:
        evidence: of the systems.
        output: folder of the report.
    """
    console = Console()
    systems = evidence["systems"]
    printed = _print_overlap(console, evidence)
    console.print(_leaderboard(evidence) if len(systems) > 2 else _headline(evidence))
    _print_thresholds(console, evidence)
    print_decisions(console, evidence)
    unpaired = evidence["unpaired"]["comparisons"] if "unpaired" in evidence else []
    net_benefit = (evidence.get("net_benefit") or {"sentences": []})["sentences"]
    for line in [*(each["sentence"] for each in [*evidence["comparisons"], *unpaired]), *net_benefit]:
        console.print(f"- {line}", highlight=False, markup=False)
    _print_expectation(console, evidence)
    for line in ensemble_words(evidence.get("ensemble")):
        console.print(f"- {line}", highlight=False, markup=False)
    _print_calibration(console, evidence)
    print_subgroups(console, evidence)
    _print_cautions(console, evidence, printed)
    _print_openings(console, evidence)
    print_places({"report": output / "report.html"})


def print_subgroups(console: Console, evidence: Evidence) -> None:
    """Print the metrics by lesion and patient, and the worst subgroup of each system where it differs significantly."""
    most_p = round(1 - evidence["settings"]["level"], 9)
    for system in evidence["systems"]:
        for sentence in unit_sentences(system):
            console.print(f"- {system['name']}: {sentence}", highlight=False, markup=False)
        found = system.get("subgroups")
        if found and found["lowest"] and (found["lowest"].get("p_holm", 0.0) or 0.0) < most_p:
            console.print(f"- {system['name']}: {found['lowest']['sentence']}", highlight=False, markup=False)


def _print_overlap(console: Console, evidence: Evidence) -> list[str]:
    """Print above the metrics which images the model was trained on, and return the sentences."""
    printed = [
        f"{each['name']}: {words}"
        for each in evidence["systems"]
        if (words := overlap_sentence(each.get("training_overlap")))
    ]
    for sentence in printed:
        console.print(f"! {sentence}", style="bold", highlight=False, markup=False)
    return printed


def _print_cautions(console: Console, evidence: Evidence, printed: Sequence[str]) -> None:
    for caution in evidence["cautions"]:
        if caution not in printed:
            console.print(f"! {caution}", highlight=False, markup=False)


def _cautions_of(evidence: Evidence, name: str) -> list[str]:
    """Return the cautions of one system as if it had another name."""
    own = evidence["systems"][0]["name"]
    return [caution.replace(own, name) for caution in evidence["cautions"]]


def _print_calibration(console: Console, evidence: Evidence) -> None:
    for system in evidence["systems"]:
        name = ", ".join(filter(None, [system["name"], first_training(system)]))
        for sentence in calibration_sentences(system):
            console.print(f"- {name}: {sentence}", highlight=False, markup=False)


def _print_expectation(console: Console, evidence: Evidence) -> None:
    for system in evidence["systems"]:
        if expected := system.get("expectation"):
            table = Table(title=f"{system['name']}: {expectation_title(expected)}, prediction intervals")
            table.add_column("metric")
            table.add_column("expected", justify="right")
            for row in expectation_rows(expected, n_rules=1):
                table.add_row(*row)
            console.print(table)


def _print_openings(console: Console, evidence: Evidence) -> None:
    for line in opening_lines(evidence):
        console.print(f"- {line}", highlight=False, markup=False)


def _headline(evidence: Evidence) -> Table:
    """Return a row a metric and a column a system."""
    systems = evidence["systems"]
    table = Table(title=_title(evidence))
    table.add_column("metric")
    for system in systems:
        table.add_column(system["name"], justify="right")
    positive, rule = _positive(systems[0]), headline_rule(systems)
    at_rule = [positive_metrics(system, rule) for system in systems]
    point = at_rule[0][1] if len(systems) == 1 else rule_words(rule or HALF)
    of_classes = [class_metrics(system, called_rule(systems)) for system in systems]
    called = common_point(each for _, each in of_classes)
    for metric in shown_metrics("terminal", "all", "positive"):
        found = [
            (metrics | of_rule).get(metric.name) for (metrics, _), (of_rule, _) in zip(of_classes, at_rule, strict=True)
        ]
        if all(found):
            table.add_row(_label(metric, positive, point, called), *(_interval(each) for each in found if each))
    for name in systems[0].get("fold_means") or {}:
        means = [rows[name] for system in systems if name in (rows := system.get("fold_means") or {})]
        if len(means) == len(systems):
            at = common_point(each.get("operating_point", operating_point(name)) for each in means)
            values = (_interval(each["mean"]) for each in means)
            table.add_row(f"{metric_label(name, point=at)}, mean over folds", *values)
    return table


def _print_thresholds(console: Console, evidence: Evidence) -> None:
    """Print a table a system with the threshold of each rule, and sensitivity, specificity and F1 there."""
    for system in evidence["systems"]:
        rows = system.get("thresholds") or []
        if not rows:
            continue
        first = next((row for row in rows if not is_fixed(row["rule"])), rows[0])
        chosen = FIXED_BEFOREHAND if is_fixed(first["rule"]) else f"chosen on {first['chosen_on']}"
        how = f"{chosen}, {applied_words(first['applied_to'])}"
        name = f"{system['name']}: " if len(evidence["systems"]) > 1 else ""
        table = Table(title=f"{name}{', '.join(_positive(system))} at the threshold of each rule, {how}")
        table.add_column("rule")
        for words in ("threshold", "sensitivity", "specificity", "F1"):
            table.add_column(words, justify="right")
        for row in rows:
            threshold = {"value": row["threshold"], "low": row["low"], "high": row["high"]}
            cells = (threshold, row["sensitivity"], row["specificity"], row["f1_positive"])
            fixed = f", {FIXED_BEFOREHAND}" if is_fixed(row["rule"]) and row is not first else ""
            table.add_row(f"{rule_words(row['rule'])}{fixed}", *(_two_lines(each) for each in cells))
        console.print(table)


def _two_lines(metric: Mapping[str, Any]) -> str:
    """Return a value above its interval, as narrow as a terminal of 80 columns needs it."""
    if metric["low"] is None or metric["low"] != metric["low"]:
        return _number(metric["value"])
    return f"{_number(metric['value'])}\n{metric['low']:.3f}{DASH}{metric['high']:.3f}"


def _leaderboard(evidence: Evidence) -> Table:
    """Return a row a system, the best first, and a column a metric."""
    systems = evidence["systems"]
    wanted = [*shown_metrics("leaderboard", "positive"), *shown_metrics("leaderboard", "all")]
    metrics = [metric for metric in wanted if metric.name in systems[0]["metrics"]][:LEADERBOARD_COLUMNS]
    positive, rule = _positive(systems[0]), headline_rule(systems)
    called = common_point(class_metrics(system, called_rule(systems))[1] for system in systems)
    table = Table(title=_title(evidence))
    table.add_column("system")
    for metric in metrics:
        table.add_column(_label(metric, positive, rule_words(rule or HALF), called), justify="right")
    last, sign = metrics[-1].name, -1 if metrics[-1].direction == "max" else 1
    for system in sorted(systems, key=lambda system: sign * (system["metrics"][last]["value"] or 0)):
        values = class_metrics(system, called_rule(systems))[0] | positive_metrics(system, rule)[0]
        table.add_row(system["name"], *(_interval(values[metric.name]) for metric in metrics))
    return table


def _label(metric: Metric, positive: Sequence[str], point: str = HALF, called: str = MOST_PROBABLE) -> str:
    """Return a metric's short label with the positive classes if it is of them, and its operating point."""
    at = point if metric.name in OF_POSITIVE else called if metric.name in OF_CALLED else ""
    notes = [", ".join(positive) if metric.scope == "positive" else "", at]
    named = "; ".join(filter(None, notes))
    return (metric.short or metric.label) + (f" ({named})" if named else "")


def _title(evidence: Evidence) -> str:
    first, level = evidence["systems"][0], f"{100 * evidence['settings']['level']:.4g}% intervals"
    if "unpaired" in evidence:
        sizes = ", ".join(f"{each['name']} {each['rows']}" for each in evidence["systems"])
        return f"different images ({sizes}), {level}"
    of_class = (f"{name} {n}" for name, n in first.get("groups_per_class", {}).items())
    groups = ", ".join(of_class) if len(first.get("groups_per_class", {})) <= MOST_CLASSES else ""
    detail = f" ({groups})" if groups else ""
    return f"{quantity(first['rows'], 'image')}, {quantity(first['groups'], 'group')}{detail}, {level}"


def _positive(system: System) -> list[str]:
    return system["binary"]["positive"] if system["binary"] else []


def _interval(metric: Interval) -> str:
    if metric["low"] != metric["low"] or metric["low"] is None:
        return _number(metric["value"]) + (" (no interval)" if metric.get("note") else "")
    return f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3f}"
