"""Coverage of the intervals by simulation: ``python -m tests.coverage_table`` writes docs/coverage.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from skinlab.processes.cores import available_cores
from tests.coverage_simulation import (
    OTHER_SCORES,
    Cell,
    Found,
    coverage,
    judge_metrics,
    judge_others,
    judge_prevalence,
)

PLACE = Path(__file__).parents[1] / "docs" / "coverage.md"
HAM = (0.67, 0.11, 0.11, 0.051, 0.033, 0.014, 0.012)
LOW, HIGH = 0.92, 0.97
SHOWN = 0.5  # share of the studies with an interval from which a cell is filled in
DASH = "-"
SEED = 1  # the rules of the intervals were chosen on simulations with other seeds
TEXT = f"""# Coverage of the intervals

`python -m tests.coverage_table` simulates studies and counts how many 95 % intervals hold the true value, in percent.
A column is a number of groups and the mean number of images of a group. In brackets: the share of the studies with an
interval, where it is under 95 %. A dash: fewer than half of the studies have one, since a class has too few groups,
or a difference rests on too few; the studies that have one then are those with more groups of a rare class by chance,
which differ from the others in more than the interval.

**Bold**: outside {100 * LOW:g} to {100 * HIGH:g} % by more than twice the standard error of the simulation, which is
given with each table. The rules (least numbers of groups, degrees of freedom) were chosen on simulations with other
seeds.

Intervals are Wilson's for shares (sensitivity, specificity, PPV, NPV, accuracy) and for F1 and balanced accuracy;
Student's t by a jackknife of groups on the logit scale of the metric's bounds for the others; plain for differences
of two systems on the same images, both with the same true value, and widened where McNemar's mid-p contradicts them.
Expected calibration errors have no interval.
"""


@dataclass(frozen=True)
class Table:
    """A table of the page: its cells, and how their studies are judged."""

    title: str
    cells: Sequence[Cell]
    repeats: int
    judge: Callable[[Cell, int, int], Iterator[Found]] = judge_metrics
    heads: Sequence[str] = ()


def binary(share: float, sizes: Sequence[int]) -> list[Cell]:
    """Return the situations of two classes with a share of positive groups."""
    return [Cell((1 - share, share), n, m) for n in sizes for m in (1, 3)]


TABLES = [
    Table("Two classes, half of the groups positive", binary(0.5, (40, 100, 400)), 800),
    Table("Two classes, a tenth of the groups positive", binary(0.1, (60, 100, 200, 400)), 800),
    Table(
        "Seven classes with the shares of HAM10000 (c1: 11 %, c6: 1.2 %)",
        [Cell(HAM, n, m) for n, m in ((200, 1), (800, 1), (800, 2), (1600, 1))],
        300,
    ),
    Table(
        "Other scores: two classes, a fifth of 200 groups positive, two images a group",
        [Cell((0.8, 0.2), 200, 2, scores) for scores in OTHER_SCORES],
        600,
        heads=[scores.name for scores in OTHER_SCORES],
    ),
    Table(
        "Bands at single points, thresholds, areas and differences of two data sets: 30 % positive",
        binary(0.3, (60, 200)),
        240,
        judge_others,
    ),
    Table(
        "Prevalence of a pool twice as large with 15 % positive, by a labelled set with 30 %",
        binary(0.3, (60, 200)),
        80,
        judge_prevalence,
    ),
]


def write_page() -> None:
    """Simulate every cell, as many at a time as there are cores, and write the page."""
    jobs = [(table, cell) for table in TABLES for cell in table.cells]
    with ProcessPoolExecutor(available_cores()) as pool:
        found = list(pool.map(_simulate, *zip(*jobs, strict=True)))
    lines = TEXT.splitlines()
    for table in TABLES:
        own, found = found[: len(table.cells)], found[len(table.cells) :]
        error = 100 * np.sqrt(0.95 * 0.05 / table.repeats)
        lines += ["", f"## {table.title}", "", f"{table.repeats} studies a column, standard error {error:.1f}.", ""]
        lines += _rows(table, own)
    PLACE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _simulate(table: Table, cell: Cell) -> dict[str, tuple[float, float]]:
    return coverage(cell, table.repeats, SEED, table.judge)


def _rows(table: Table, found: Sequence[dict[str, tuple[float, float]]]) -> list[str]:
    names = list(dict.fromkeys(name for each in found for name in each))
    heads = table.heads or [cell.title for cell in table.cells]
    entry = partial(_entry, repeats=table.repeats)
    rows = [f"| {name} | {' | '.join(entry(each.get(name)) for each in found)} |" for name in names]
    return [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|", *rows]


def _entry(found: tuple[float, float] | None, repeats: int) -> str:
    if found is None or found[0] < SHOWN:
        return DASH
    shown, covers = found
    error = 2 * np.sqrt(0.95 * 0.05 / (shown * repeats))
    text = f"{100 * covers:.1f}"
    text = text if LOW - error <= covers <= HIGH + error else f"**{text}**"
    return text if shown > 0.95 else f"{text} ({shown:.0%})"


if __name__ == "__main__":
    write_page()
