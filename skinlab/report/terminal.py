"""The table a person reads at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from skinlab.report.wording import ensemble_words, seen_words

OF_POSITIVE = ("f1_positive", "pr_auc_positive", "sensitivity", "specificity")
HEADLINE = {
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "F1, macro",
    "pr_auc_macro": "PR-AUC, macro",
    "auroc_macro": "AUROC, macro",
    "f1_positive": "F1, positive class",
    "pr_auc_positive": "PR-AUC, positive class",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ece": "ECE",
}


def print_results(metrics: Mapping[str, Any], run_dir: Path, evidence: Mapping[str, Any] | None = None) -> None:
    """Print headline and per-class figures of val and test, with their intervals, and where the run lies.

    Args:
        metrics: as in ``metrics.json``.
        run_dir: of the run.
        evidence: of the run's last split, if there is any.
    """
    console = Console()
    splits = [split for split in ("val", "test") if f"{split}/balanced_accuracy" in metrics]
    figures = evidence["systems"][0]["figures"] if evidence else {}
    last = splits[-1]
    judged = evidence["systems"][0]["sources"][0]["split"] if evidence else last
    level = f", {evidence['asked']['level']:.0%} intervals" if evidence else ""
    table = Table(title=f"best epoch {metrics['best/epoch']} (from {metrics['init_used']} weights){level}")
    table.add_column("figure")
    for split in splits:
        table.add_column(split, justify="right")

    def cell(split: str, name: str) -> str:
        found = figures.get(name) if split == judged else None
        return _interval(found) if found else _number(metrics.get(f"{split}/{name}"))

    positive = [metrics["positive"]] if "positive" in metrics else []
    for name in HEADLINE:
        if f"{last}/{name}" in metrics:
            table.add_row(_words(name, positive), *(cell(split, name) for split in splits))
    table.add_section()
    for key in metrics:
        if key.startswith(f"{last}/support/"):
            name = key.removeprefix(f"{last}/support/")
            cells = (
                f"{_number(metrics.get(f'{s}/f1/{name}'))} / {_number(metrics.get(f'{s}/pr_auc/{name}'))}"
                for s in splits
            )
            table.add_row(f"F1 / PR-AUC of {name} ({metrics[key]:.0f} in {last})", *cells)
    said = _print_seen(console, evidence) if evidence else []
    console.print(table)
    _print_cautions(console, evidence or {}, said)
    if evidence:
        console.print(f"report: {run_dir / 'report.html'}", soft_wrap=True, highlight=False)
    console.print(f"run: {run_dir}", soft_wrap=True, highlight=False)


def print_evidence(evidence: Mapping[str, Any]) -> None:
    """Print the headline of every system with its intervals, the comparisons and the cautions."""
    console = Console()
    systems = evidence["systems"]
    said = _print_seen(console, evidence)
    console.print(_leaderboard(evidence) if len(systems) > 2 else _headline(evidence))
    for line in [each["sentence"] for each in evidence["comparisons"]]:
        console.print(f"- {line}", highlight=False, markup=False)
    for line in ensemble_words(evidence.get("ensemble")):
        console.print(f"- {line}", highlight=False, markup=False)
    _print_cautions(console, evidence, said)


def _print_seen(console: Console, evidence: Mapping[str, Any]) -> list[str]:
    """Print above the metrics which images are none of new ones, and return the sentences."""
    said = [f"{each['name']}: {words}" for each in evidence["systems"] if (words := seen_words(each.get("seen")))]
    for sentence in said:
        console.print(f"! {sentence}", style="bold", highlight=False, markup=False)
    return said


def _print_cautions(console: Console, evidence: Mapping[str, Any], said: Sequence[str]) -> None:
    for caution in evidence.get("cautions", []):
        if caution not in said:
            console.print(f"! {caution}", highlight=False, markup=False)


def _headline(evidence: Mapping[str, Any]) -> Table:
    """Return a row a figure and a column a system."""
    systems = evidence["systems"]
    table = Table(title=_title(evidence))
    table.add_column("figure")
    for system in systems:
        table.add_column(system["name"], justify="right")
    positive = (systems[0]["binary"] or {}).get("positive", [])
    for name in HEADLINE:
        found = [(_binary(system) | system["figures"]).get(name) for system in systems]
        if all(found):
            table.add_row(_words(name, positive), *(_interval(each) for each in found if each))
    for rows in zip(*(system.get("thresholds") or [] for system in systems), strict=False):  # some may have none
        rule = rows[0]["rule"]
        words = f"F1 of {', '.join(positive)} at {rule} ({rows[0]['applied_to']})"
        table.add_row(words, *(_interval(row["f1_positive"]) for row in rows))
    return table


def _leaderboard(evidence: Mapping[str, Any]) -> Table:
    """Return a row a system, the best first, and a column a figure."""
    names = [name for name in ("f1_positive", "pr_auc_positive") if name in evidence["systems"][0]["figures"]]
    names = [*names, "balanced_accuracy", "pr_auc_macro", "auroc_macro"][:3]
    positive = (evidence["systems"][0]["binary"] or {}).get("positive", [])
    table = Table(title=_title(evidence))
    table.add_column("system")
    for name in names:
        table.add_column(_words(name, positive), justify="right")
    ordered = sorted(evidence["systems"], key=lambda system: -(system["figures"][names[-1]]["value"] or 0))
    for system in ordered:
        table.add_row(system["name"], *(_interval(system["figures"][name]) for name in names))
    return table


def _words(name: str, positive: Sequence[str]) -> str:
    """Name a metric, and the positive classes if it is of them.

    >>> _words("sensitivity", ["mel"]), _words("ece", ["mel"])
    ('sensitivity (mel)', 'ECE')
    """
    of = f" ({', '.join(positive)})" if positive and name in OF_POSITIVE else ""
    return HEADLINE[name] + of


def _title(evidence: Mapping[str, Any]) -> str:
    first = evidence["systems"][0]
    return f"{first['rows']} rows, {first['groups']} groups, {evidence['asked']['level']:.0%} intervals"


def _binary(system: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return dict((system["binary"] or {}).get("figures", {}))


def _interval(figure: Mapping[str, float]) -> str:
    if figure["low"] != figure["low"] or figure["low"] is None:
        return _number(figure["value"])
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3f}"
