"""Tables and sentences of evidence in the terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from skinlab.errors import some
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
from skinlab.evaluation.metrics.registry import direction, metric_label, shown_metrics
from skinlab.evaluation.thresholds.choice import FIXED_BEFOREHAND, is_fixed
from skinlab.report.headlines import calibration_sentences, expectation_rows, expectation_title, leading
from skinlab.report.openings import opening_lines
from skinlab.report.operating_points import (
    against_best_member,
    applied_words,
    class_metrics,
    decision_words,
    first_training,
    positive_metrics,
)
from skinlab.report.units import unit_sentences
from skinlab.report.wording import (
    DASH,
    bounds,
    group_noun,
    interval,
    label_of,
    number,
    over_classes,
    overlap_sentence,
    p_value,
    several_classes,
)
from skinlab.text import quantity

LEADERBOARD_COLUMNS = 3
MOST_CLASSES = 8  # that a line lists
MOST_COMPARISONS = 10  # rows of a table
NUMBER = re.compile(r"\d[\d.,]*")


def headline_table(evidence: Evidence) -> Table:
    """Return a row a metric and a column a system."""
    systems = evidence["systems"]
    table = Table(title=_title(evidence))
    table.add_column("metric")
    for system in systems:
        table.add_column(system["name"], justify="right", overflow="fold")
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
            table.add_row(
                label_in_table(metric, positive, point, called), *(interval_cell(each) for each in found if each)
            )
    for name in systems[0].get("fold_means") or {}:
        means = [rows[name] for system in systems if name in (rows := system.get("fold_means") or {})]
        if len(means) == len(systems):
            at = common_point(each.get("operating_point", operating_point(name)) for each in means)
            values = (interval_cell(each["mean"]) for each in means)
            table.add_row(f"{metric_label(name, point=at)}, mean over folds", *values)
    return table


def leaderboard(evidence: Evidence) -> Table:
    """Return a row a system, the best first, and a column a metric; of many systems those that the page shows."""
    systems, rows = evidence["systems"], leading(evidence)["systems"]
    wanted = [*shown_metrics("leaderboard", "positive"), *shown_metrics("leaderboard", "all")]
    metrics = [metric for metric in wanted if metric.name in systems[0]["metrics"]][:LEADERBOARD_COLUMNS]
    positive, rule = _positive(systems[0]), headline_rule(systems)
    called = common_point(class_metrics(system, called_rule(systems))[1] for system in systems)
    more = f"; {len(rows)} of {len(systems)} systems, the others in report.html" if len(rows) < len(systems) else ""
    table = Table(title=_title(evidence) + more)
    table.add_column("system", overflow="fold")  # names may differ at their ends alone
    for metric in metrics:
        table.add_column(label_in_table(metric, positive, rule_words(rule or HALF), called), justify="right")
    last, sign = metrics[-1].name, -1 if metrics[-1].direction == "max" else 1
    if not more:
        rows = sorted(systems, key=lambda system: sign * (system["metrics"][last]["value"] or 0))
    for system in rows:
        values = class_metrics(system, called_rule(systems))[0] | positive_metrics(system, rule)[0]
        table.add_row(system["name"], *(interval_cell(values[metric.name]) for metric in metrics))
    return table


def comparison_table(evidence: Evidence) -> Table | None:
    """Return a row a difference: the primary ones first, then the significant ones; None where nothing is compared.

    Of systems on different images the two values stand beside it, which are over the classes that both have.
    """
    unpaired = evidence.get("unpaired")
    pairs = [*evidence["comparisons"], *(unpaired["comparisons"] if unpaired else [])]
    if not pairs:
        return None
    ranked = sorted(pairs, key=lambda pair: (pair.get("role") != "primary", not pair.get("significant")))
    shown, systems = ranked[:MOST_COMPARISONS], {(pair["a"], pair["b"]) for pair in pairs}
    only = systems.pop() if len(systems) == 1 else ()
    more = f" ({len(shown)} of {len(pairs)}, the others in report.html)" if len(pairs) > len(shown) else ""
    title = f"differences{over_classes(evidence)}{': ' if only else ''}{' less '.join(only)}{more}"
    table = Table(title=title, show_edge=False)
    for name in ("metric",) if only else ("systems", "metric"):
        table.add_column(name, overflow="fold")
    for name in (*((only or ("first", "second")) if unpaired else ()), "difference", "p, Holm"):
        table.add_column(name, justify="right")
    for pair in shown:
        names = [] if only else [f"{pair['a']} less {pair['b']}"]
        metrics = [unpaired["metrics"][pair[of]] for of in ("a", "b")] if unpaired else []
        values = [number(each.get(pair["metric"])) for each in metrics]
        difference = interval(pair["difference"], signed=True)
        difference += "" if bounds(pair["difference"]) else " (no interval)"
        label = label_of(pair["metric"], pair) + (" (lower is better)" if direction(pair["metric"]) == "min" else "")
        table.add_row(*names, label, *values, difference, p_value(pair["p_holm"], pair))
    return table


def comparison_sentence(evidence: Evidence) -> str:
    """Return one sentence and how many differences are significant.

    It is that of the primary endpoint, of an ensemble against its best member, or else the first significant one.
    """
    pairs = [*evidence["comparisons"], *(evidence["unpaired"]["comparisons"] if "unpaired" in evidence else [])]
    if primary := [pair["sentence"] for pair in pairs if pair.get("role") == "primary"]:
        return " ".join(primary)
    best = [pair["sentence"] for pair in against_best_member(evidence)]
    significant = [pair["sentence"] for pair in pairs if pair.get("significant")]
    are = "is significant" if 1 in (len(significant), len(pairs)) else "are significant"
    counted = f"{len(significant)} of {quantity(len(pairs), 'difference')} {are}"
    if first := [*best, *significant]:
        return f"{first[0]} {counted}."
    claims = {
        "weights": "of these weights (one training each), not of the recipes",
        "predictions": "of these predictions alone",
    }
    of = [claims[claim] for pair in pairs if (claim := str(pair.get("claim"))) in claims]
    return "; ".join([counted, *dict.fromkeys(of)]) + "."


def print_thresholds(console: Console, evidence: Evidence) -> None:
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
        return number_cell(metric["value"])
    return f"{number_cell(metric['value'])}\n{metric['low']:.3f}{DASH}{metric['high']:.3f}"


def print_decisions(console: Console, evidence: Evidence) -> None:
    """Print a table a system of the metrics of its called class, and what they gain over the most probable class."""
    for system in evidence["systems"]:
        decision = system.get("decision")
        if not decision:
            continue
        name = f"{system['name']}: " if len(evidence["systems"]) > 1 else ""
        table = Table(title=f"{name}called class by {decision_words(decision)}, {decision['applied_to']}")
        table.add_column("metric")
        table.add_column("by the rule", justify="right")
        table.add_column("less that of the most probable class", justify="right")
        for metric, difference in decision["differences"].items():
            cells = interval(decision["metrics"][metric]), interval(difference, signed=True)
            table.add_row(metric_label(metric, point=False), *cells)
        console.print(table)


def print_subgroups(console: Console, evidence: Evidence) -> None:
    """Print the worst subgroup of each system where it differs significantly, of one system by lesion and patient, too.

    Of many systems those of the highest are printed.

    Args:
        console: to print to.
        evidence: of the systems.
    """
    most_p, systems, found = round(1 - evidence["settings"]["level"], 9), leading(evidence)["systems"], list[str]()
    for system in systems:
        if len(systems) == 1:
            found += [f"{system['name']}: {sentence}" for sentence in unit_sentences(system)]
        subgroups = system.get("subgroups")
        lowest = subgroups["lowest"] if subgroups else None
        if lowest and (lowest.get("p_holm", 0.0) or 0.0) < most_p:
            found.append(f"{system['name']}: {lowest['sentence']}")
    for sentence in each_once(found, systems):
        console.print(f"- {sentence}", highlight=False, markup=False)


def print_overlap(console: Console, evidence: Evidence) -> list[str]:
    """Print above the metrics which images the model was trained on, and return the sentences."""
    found = [
        f"{each['name']}: {words}"
        for each in evidence["systems"]
        if (words := overlap_sentence(each.get("training_overlap")))
    ]
    for sentence in each_once(found, evidence["systems"]):
        console.print(f"! {sentence}", style="bold", highlight=False, markup=False)
    return found


def print_cautions(console: Console, evidence: Evidence, printed: Sequence[str]) -> None:
    """Print each caution once, but for those that are printed already."""
    for caution in each_once([each for each in evidence["cautions"] if each not in printed], evidence["systems"]):
        console.print(f"! {caution}", highlight=False, markup=False)


def cautions_of(evidence: Evidence, name: str) -> list[str]:
    """Return the cautions of one system as if it had another name."""
    own = evidence["systems"][0]["name"]
    return [caution.replace(own, name) for caution in evidence["cautions"]]


def each_once(sentences: Sequence[str], systems: Sequence[System]) -> list[str]:
    """Return sentences on systems with all systems that one is of; of those with other numbers alone the first.

    >>> each_once(["a: F1 is 0.5.", "b: F1 is 0.6.", "a: new.", "b: new."], [{"name": "a"}, {"name": "b"}])
    ['a: F1 is 0.5. (Of b with other numbers: report.html.)', 'a, b: new.']
    """
    kinds = dict[tuple[str, int], list[tuple[str, str]]]()
    seen = Counter[tuple[str, str]]()
    for sentence in sentences:
        name = next((each["name"] for each in systems if sentence.startswith(f"{each['name']}: ")), "")
        text = sentence.removeprefix(f"{name}: ") if name else sentence
        kind = NUMBER.sub("#", text)
        kinds.setdefault((kind, seen[name, kind]), []).append((name, text))
        seen[name, kind] += 1
    found = []
    for of_kind in kinds.values():
        first = of_kind[0][1]
        same, others = ([name for name, text in of_kind if (text == first) == alike] for alike in (True, False))
        more = f" (Of {some(others)} with other numbers: report.html.)" if others else ""
        found.append(": ".join(filter(None, [some(same), first])) + more)
    return found


def print_calibration(console: Console, evidence: Evidence) -> None:
    """Print what calibration changes, and what conformal sets cover."""
    for system in evidence["systems"]:
        name = ", ".join(filter(None, [system["name"], first_training(system)]))
        for sentence in calibration_sentences(system):
            console.print(f"- {name}: {sentence}", highlight=False, markup=False)


def print_expectation(console: Console, evidence: Evidence) -> None:
    """Print a table a system of what is expected on a new test set, where one is set."""
    for system in evidence["systems"]:
        if expected := system.get("expectation"):
            table = Table(title=f"{system['name']}: {expectation_title(expected)}, prediction intervals")
            table.add_column("metric")
            table.add_column("expected", justify="right")
            for row in expectation_rows(expected, n_rules=1):
                table.add_row(*row)
            console.print(table)


def print_openings(console: Console, evidence: Evidence) -> None:
    """Print how often the systems' test was opened."""
    for line in opening_lines(evidence):
        console.print(f"- {line}", highlight=False, markup=False)


def label_in_table(metric: Metric, positive: Sequence[str], point: str = HALF, called: str = MOST_PROBABLE) -> str:
    """Return a metric's short label with the positive classes if it is of them, and its operating point."""
    at = point if metric.name in OF_POSITIVE else called if metric.name in OF_CALLED else ""
    better = "lower is better" if metric.direction == "min" else ""
    notes = [", ".join(positive) if metric.scope == "positive" else "", at, better]
    named = "; ".join(filter(None, notes))
    return (metric.short or metric.label) + (f" ({named})" if named else "")


def _title(evidence: Evidence) -> str:
    first, level = evidence["systems"][0], f"{100 * evidence['settings']['level']:.4g}% intervals"
    if "unpaired" in evidence:
        sizes = ", ".join(f"{each['name']} {each['rows']}" for each in evidence["systems"])
        return f"different images ({sizes}), {level}"
    of_class = (f"{name} {n}" for name, n in first.get("groups_per_class", {}).items())
    groups = ", ".join(of_class) if len(first.get("groups_per_class", {})) <= MOST_CLASSES else ""
    groups = "; ".join(filter(None, [groups, several_classes(first)]))
    detail = f" ({groups})" if groups else ""
    return f"{quantity(first['rows'], 'image')}, {quantity(first['groups'], group_noun(first))}{detail}, {level}"


def _positive(system: System) -> list[str]:
    return system["binary"]["positive"] if system["binary"] else []


def interval_cell(metric: Interval) -> str:
    """Write a metric with its interval for a cell."""
    if metric["low"] != metric["low"] or metric["low"] is None:
        return number_cell(metric["value"]) + (" (no interval)" if metric.get("note") else "")
    return f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


def number_cell(value: float | None) -> str:
    """Write a number for a cell; a dash where it is undefined."""
    return "-" if value is None or value != value else f"{value:.3f}"
