"""What the terminal shows of a checked submission and of the log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from skinlab.evaluation.submission_check import Outlook


def print_outlook(found: Outlook, n_test: int) -> None:
    """Print the threshold of best F1 and what F1 to expect at several shares of positives.

    Args:
        found: out of fold.
        n_test: number of test images that are scored.
    """
    span = "no range: too few groups of a class" if found.low is None else f"{found.low:.4f} to {found.high:.4f}"
    console = Console()
    _print(console, f"threshold of best F1 out of fold: {found.threshold:.4f} (not discernibly worse: {span})")
    table = Table(
        *("positives", f"F1 of {n_test:,} images at it", "best threshold there"),
        title="expected F1 by the test's share of positives",
    )
    for row in found.rows:
        f1, mark = row["f1"], " (out of fold)" if math.isclose(row["prevalence"], found.prevalence) else ""
        ends = "" if f1["low"] is None else f" [{f1['low']:.3f}, {f1['high']:.3f}]"
        table.add_row(f"{row['prevalence']:.1%}{mark}", f"{f1['value']:.3f}{ends}", f"{row['best_threshold']:.4f}")
    console.print(table)


def print_log(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the log.

    Args:
        rows: ``file``, ``called``, ``f1``, ``score`` and ``change`` with its ``noise``, None where unknown.
    """
    table = Table(*("", "file", "called", "F1 out of fold", "leaderboard", "difference", "change (noise)"))
    for number, row in enumerate(rows, 1):
        f1, score = row["f1"], row["score"]
        difference = "" if f1 is None or score is None else f"{score - f1:+.3f}"
        change = "" if row["change"] is None else f"{row['change']:+.3f} (±{row['noise']:.3f})"
        table.add_row(str(number), row["file"], f"{row['called']}", _number(f1), _number(score), difference, change)
    Console().print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
