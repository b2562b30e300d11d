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

from skinlab.evaluation.evidence.form import Evidence
from skinlab.evaluation.metrics.operating_points import MOST_PROBABLE
from skinlab.evaluation.metrics.registry import shown_metrics
from skinlab.report.evidence_tables import (
    cautions_of,
    comparison_sentence,
    comparison_table,
    headline_table,
    interval_cell,
    label_in_table,
    leaderboard,
    number_cell,
    print_calibration,
    print_cautions,
    print_decisions,
    print_expectation,
    print_openings,
    print_overlap,
    print_subgroups,
    print_thresholds,
)
from skinlab.report.run_files import best_epoch_words, better_epoch
from skinlab.report.wording import ensemble_words
from skinlab.text import printable

MOST_CLASSES = 8  # that a line lists
KAGGLE = "dsm2025"  # the data set of a challenge on Kaggle, whose test images lie in test/
FEW_IMAGES = 10  # whose probabilities are printed
Floats = npt.NDArray[np.floating]


def print_results(
    metrics: Mapping[str, Any],
    run_dir: Path,
    evidence: Evidence | None = None,
    printed: Evidence | None = None,
    *,
    is_later: bool = False,
) -> None:
    """Print headline and per-class metrics of val, and of an opened test, with intervals, and where the run lies.

    After an earlier job of the same sweep only the headline metrics and other cautions than its own are printed.

    Args:
        metrics: as in ``metrics.json``.
        run_dir: of the run.
        evidence: of the run's val or test, if there is any.
        printed: that of an earlier job of the same sweep, if there is one.
        is_later: whether there was an earlier job of the same sweep.
    """
    console, brief = Console(), is_later or printed is not None
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
        return interval_cell(found) if found else number_cell(metrics.get(f"{split}/{name}"))

    positive = [metrics["positive"]] if "positive" in metrics else []
    for metric in shown_metrics("terminal", "all", "positive"):
        if f"{last}/{metric.name}" in metrics:
            table.add_row(label_in_table(metric, positive), *(cell(split, metric.name) for split in splits))
    table.add_section()
    for key in metrics:
        if key.startswith(f"{last}/support/") and not brief:
            name = key.removeprefix(f"{last}/support/")
            cells = (
                f"{number_cell(metrics.get(f'{s}/f1/{name}'))} / {number_cell(metrics.get(f'{s}/pr_auc/{name}'))}"
                for s in splits
            )
            table.add_row(f"F1 ({MOST_PROBABLE}) / AP of {name} ({metrics[key]:.0f} in {last})", *cells)
    overlaps = print_overlap(console, evidence) if evidence and not brief else []
    console.print(table)
    if line := better_epoch(metrics, run_dir):
        console.print(f"- {line}", soft_wrap=True, highlight=False, markup=False)
    if evidence:
        if printed:
            print_cautions(console, evidence, cautions_of(printed, evidence["systems"][0]["name"]))
        else:
            _print_notes(console, evidence, overlaps)
        console.print(f"report: {run_dir / 'report.html'}", soft_wrap=True, highlight=False)
    if not brief:
        _print_run(console, run_dir, opened="test" in splits)


def _print_run(console: Console, run_dir: Path, *, opened: bool) -> None:
    """Print where a run lies and the command that opens its test, where that is closed."""
    console.print(f"run: {run_dir}", soft_wrap=True, highlight=False)
    is_job = (run_dir.parent / "multirun.yaml").is_file()  # of a sweep, whose test stays locked over recipes
    if not opened and not is_job and (run_dir / "predictions" / "test.csv").is_file():
        command = f"python -m skinlab.evaluate predictions={run_dir} split=test output={run_dir / 'test'}"
        console.print(f"to open the test, once the run is final: {command}", soft_wrap=True, highlight=False)


def _print_notes(console: Console, evidence: Evidence, printed: Sequence[str]) -> None:
    """Print what follows the metrics of a run, without cautions that were printed above them."""
    print_thresholds(console, evidence)
    print_decisions(console, evidence)
    print_calibration(console, evidence)
    print_subgroups(console, evidence)
    print_cautions(console, evidence, printed)
    print_openings(console, evidence)


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
        console.print(f"{printable(image_id)}: {what}; {shown}{more}", soft_wrap=True, highlight=False, markup=False)


def predict_by(model: Path, data: Mapping[str, Any] | None = None, *, rule: str | None = "f1") -> str:
    """Return the command that predicts images by a model; for DSM-2025 the one that writes a submission.

    Args:
        model: a run, a sweep, or a bundle.
        data: the recorded settings of its data set; None where they are not known.
        rule: of the submission's threshold; None where the model has its own calls.

    >>> print(predict_by(Path("RUN"), {"name": "dsm2025", "root": "/dsm"}))
    python -m skinlab.predict ckpt=RUN input=/dsm/test output=submission.csv format=kaggle threshold=f1
    """
    words = ["input=FOLDER", "output=FILE.csv"]
    if data is not None and data["name"] == KAGGLE:
        words = [f"input={Path(data['root']) / 'test'}", "output=submission.csv", "format=kaggle"]
        words += [] if rule is None else [f"threshold={rule}"]
    return shlex.join(["python", "-m", "skinlab.predict", f"ckpt={model}", *words])


def print_evidence(evidence: Evidence, output: Path) -> None:
    """Print the headline of the systems with its intervals, the comparisons, the cautions and where the report is.

    Args:
        evidence: of the systems; of one alone its thresholds, calibration and units are printed, too.
        output: folder of the report.
    """
    console = Console()
    systems = evidence["systems"]
    printed = print_overlap(console, evidence)
    console.print(leaderboard(evidence) if len(systems) > 2 else headline_table(evidence))
    if len(systems) == 1:
        print_thresholds(console, evidence)
        print_decisions(console, evidence)
    elif (table := comparison_table(evidence)) is not None:
        console.print(table)
        console.print(f"- {comparison_sentence(evidence)}", highlight=False, markup=False)
    best = evidence.get("best", [])
    for each in best[:1] if evidence["comparisons"] else best:
        console.print(f"- {each['sentence']}", highlight=False, markup=False)
    print_expectation(console, evidence)
    ensemble: dict[str, Any] = dict(evidence.get("ensemble") or {})
    if len(ensemble.get("diversity", [])) > 1:  # a sentence a pair of members
        ensemble["diversity"] = []
    for line in ensemble_words(ensemble):
        console.print(f"- {line}", highlight=False, markup=False)
    if len(systems) == 1:
        print_calibration(console, evidence)
    print_subgroups(console, evidence)
    print_cautions(console, evidence, printed)
    print_openings(console, evidence)
    print_places({"report": output / "report.html"})
