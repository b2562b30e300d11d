"""Mark whether a run directory holds all results of its run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from skinlab.files import check_held
from skinlab.settings.recorded import UNFINISHED


@contextlib.contextmanager
def writing_results(run_dir: Path) -> Iterator[None]:
    """Mark a run as unfinished for as long as its results are written, drawn and logged.

    Whatever ends the process meanwhile leaves the mark, and the same command makes all results again.
    """
    mark = run_dir / UNFINISHED
    check_held(mark)
    mark.touch()
    yield
    mark.unlink()
