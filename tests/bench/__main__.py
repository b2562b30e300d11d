"""Speed as ratios, each taken in one run: ``make bench``. Prints what was measured, its limit and whether it is kept.

The training ratios are of one training in its steady state, which stops after every block to let the loops it is
compared with run theirs, each in a process of its own; the median ratio of neighbouring blocks counts, so that a drift
of the machine's speed falls on both. Run it on a machine with nothing else to do; ``python -m tests.bench PART ...``
measures some parts only.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from tests.bench.commands import bench_neighbour, bench_processes, bench_start
from tests.bench.data import bench_audit, bench_million, bench_phantom, bench_views
from tests.bench.fixed import bench_fixed
from tests.bench.intervals import bench_bootstrap
from tests.bench.loading import bench_input, bench_predict
from tests.bench.measure import write_table
from tests.bench.optimizer import bench_optimizer
from tests.bench.overlap import bench_overlap
from tests.bench.training import bench_scdiag, bench_steps

PARTS: dict[str, Callable[[Path], None]] = {
    "start": lambda _: bench_start(),
    "fixed": bench_fixed,
    "million": bench_million,
    "audit": bench_audit,
    "bootstrap": lambda _: bench_bootstrap(),
    "views": lambda _: bench_views(),
    "phantom": bench_phantom,
    "input": bench_input,
    "predict": bench_predict,
    "overlap": bench_overlap,
    "neighbour": bench_neighbour,
    "processes": bench_processes,
    "optimizer": lambda _: bench_optimizer(),
    "training": bench_steps,
    "scdiag": bench_scdiag,
}


def main() -> None:
    """Measure all parts, or those of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure speed, by default of all parts."
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--record", action="store_true", help="write BENCHMARKS.md, too")
    words = parser.parse_args()
    parts = words.parts or list(PARTS)
    if unknown := [each for each in parts if each not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        for each in parts:
            PARTS[each](Path(name))
            if words.record:  # after each part, so that a run that is stopped keeps what it has measured
                write_table(Path(__file__).parents[2] / "BENCHMARKS.md")


if __name__ == "__main__":
    main()
