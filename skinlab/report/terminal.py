"""The table a person reads at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

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


def print_results(metrics: Mapping[str, Any], run_dir: Path) -> None:
    """Print headline and per-class figures of val and test, and where the run lies."""
    console = Console()
    splits = [split for split in ("val", "test") if f"{split}/balanced_accuracy" in metrics]
    table = Table(title=f"best epoch {metrics['best/epoch']} (from {metrics['init_used']} weights)")
    table.add_column("figure")
    for split in splits:
        table.add_column(split, justify="right")
    for name, words in HEADLINE.items():
        if f"{splits[0]}/{name}" in metrics:
            table.add_row(words, *(_number(metrics[f"{split}/{name}"]) for split in splits))
    table.add_section()
    last = splits[-1]
    for key in metrics:
        if key.startswith(f"{last}/support/"):
            name = key.removeprefix(f"{last}/support/")
            cells = (f"{_number(metrics[f'{s}/f1/{name}'])} / {_number(metrics[f'{s}/pr_auc/{name}'])}" for s in splits)
            table.add_row(f"F1 / PR-AUC of {name} ({metrics[key]:.0f} in {last})", *cells)
    console.print(table)
    console.print(f"run: {run_dir}", soft_wrap=True, highlight=False)


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3f}"
