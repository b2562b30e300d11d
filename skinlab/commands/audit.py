"""Audit a data set and show its split, without training on it."""

from __future__ import annotations

from pathlib import Path

import cv2
import pandas as pd
from rich.console import Console
from rich.table import Table

from skinlab.data.audit.checks import AuditFailed
from skinlab.data.audit.contact_sheet import contact_sheet
from skinlab.data.audit.report import AuditReport, summary
from skinlab.data.preparation import Prepared
from skinlab.errors import UserError
from skinlab.files import claim, replacing, write_json, write_text
from skinlab.json_files import read_json
from skinlab.report.terminal import print_places
from skinlab.runs.preparation import prepare_data
from skinlab.settings.command import Invocation
from skinlab.settings.commands.audit import AuditSettings
from skinlab.settings.outputs import contact_sheet_file
from skinlab.tables.splits import SPLITS


def audit(settings: AuditSettings, invocation: Invocation) -> None:
    """Read, audit and split a data set; write ``audit.json`` and ``split.csv``, and print a summary.

    Args:
        settings: of the command.
        invocation: its overrides of the data go to the trainings of the leak meter.

    Raises:
        UserError: whatever prevents a training. What the audit found is in ``audit.json`` all the same.
    """
    run_dir, sheet = Path(settings.run_dir), contact_sheet_file(settings.contact_sheet)
    if (run_dir / "config.yaml").exists():
        raise UserError(f"{run_dir} holds a training run with its own audit; choose another hydra.run.dir")
    with claim(run_dir):
        try:
            prepared = prepare_data(settings.data)
        except AuditFailed as failure:
            write_json(run_dir / "audit.json", failure.report)
            print_audit(failure.report, run_dir)
            raise
        write_json(run_dir / "audit.json", prepared.audit | {"split_sha256": prepared.split_hash})
        write_text(run_dir / "split.csv", prepared.manifest.to_csv(index=False))
        if sheet is not None:
            write_sheet(prepared.manifest, sheet)
        print_audit(prepared.audit, run_dir, prepared)
        print_places({"contact sheet": sheet})
        if settings.leak_meter:
            measure_leaks(settings, prepared, invocation)


def measure_leaks(settings: AuditSettings, prepared: Prepared, invocation: Invocation) -> None:
    """Measure what leaks are worth, write ``leaks.json`` and ``leaks.html``, and print the table."""
    from skinlab.leaks.meter import run_meter  # an audit alone needs no torch
    from skinlab.report.leaks.page import print_leaks, render_leaks  # matplotlib takes its time to import

    run_dir = Path(settings.run_dir)
    write_json(run_dir / "leaks.json", run_meter(settings, prepared, invocation))
    evidence = read_json(run_dir / "leaks.json", "record of a leak meter")
    write_text(run_dir / "leaks.html", render_leaks(evidence))
    print_leaks(evidence)
    print_places({"leak meter": run_dir / "leaks.html"})


def write_sheet(manifest: pd.DataFrame, path: Path) -> None:
    """Draw some images of every class into a picture file."""
    picture = cv2.cvtColor(contact_sheet(manifest), cv2.COLOR_RGB2BGR)
    with replacing(path) as temporary:
        temporary.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())


def print_audit(report: AuditReport, run_dir: Path, prepared: Prepared | None = None) -> None:
    """Print what was found, the images of each class and source in each part of the split, and where it is written."""
    console = Console()
    for line in summary(report):
        if line.startswith("warning: "):
            continue  # logged by the audit when it was found
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if prepared is not None:
        for name in ("label", "source"):
            if prepared.manifest[name].any():
                console.print(counts_table(prepared.manifest, name))
    console.print(f"audit: {run_dir}", highlight=False, markup=False, soft_wrap=True)


def counts_table(manifest: pd.DataFrame, column: str) -> Table:
    """Return a table of images by a column and split, each part with its groups."""
    splits = [split for split in SPLITS if (manifest["split"] == split).any()]
    table = Table(column, *splits, "images", "groups", title=f"images by {column}")
    for cell in table.columns[1:]:
        cell.justify = "right"
    counts = pd.crosstab(manifest[column], manifest["split"])[splits]
    groups = manifest.groupby(column)["group"].nunique()
    for (name, row), n_groups in zip(counts.iterrows(), groups, strict=True):
        cells = [*row, row.sum(), n_groups]
        table.add_row(str(name) or ("unlabeled" if column == "label" else "unknown"), *(f"{n:,}" for n in cells))
    table.add_section()
    cells = [*counts.sum(), len(manifest), manifest["group"].nunique()]
    table.add_row("all", *(f"{n:,}" for n in cells))
    return table
