"""Leave out on the terminal what an earlier job of the same sweep has printed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from skinlab.cli.sweeps.job_log import LOG
from skinlab.settings.secrets import masked


def not_printed(earlier: Path, run_dir: Path) -> Callable[[logging.LogRecord], bool]:
    """Return a filter that leaves out what an earlier job has in its log, the run directory aside.

    Args:
        earlier: run directory of that job.
        run_dir: of this job.
    """
    path = earlier / LOG
    printed = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def is_new(record: logging.LogRecord) -> bool:
        line = f"{record.levelname}: {record.getMessage()}".replace(str(run_dir), str(earlier))
        return f" {masked(line)}\n" not in printed  # after the time

    return is_new
