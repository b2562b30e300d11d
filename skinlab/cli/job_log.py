"""Keep the error by which a job of a sweep failed in the log of its run directory, where the sweep reads it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from skinlab.settings.secrets import masked

LOG = "log.txt"  # that of skinlab.runs.run_log, which has no line yet where a job is refused
MARK = " ERROR: error: "


def keep_error(run_dir: Path, line: str) -> None:
    """Append an error to the log of a run unless it ends with it; a folder that can't be written stays without.

    Args:
        run_dir: of the job.
        line: the error.
    """
    line = str(masked(line))
    if read_error(run_dir) == line:
        return
    try:
        with (run_dir / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}{MARK}{line}\n")
    except OSError:
        return


def read_error(run_dir: Path) -> str:
    """Return the error that the log of a run ends with; empty where it ends otherwise or is missing."""
    try:
        lines = (run_dir / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1].partition(MARK)[2] if lines else ""


def reason_of(run_dir: Path, returncode: int) -> str:
    """Return in words why a job failed.

    Args:
        run_dir: of the job.
        returncode: of its process, negative for the signal that ended it.

    >>> reason_of(Path("/nowhere"), -9)
    'it was ended by SIGKILL (out of memory?)'
    """
    if returncode < 0:
        return f"it was ended by {signal.Signals(-returncode).name} (out of memory?)"
    return read_error(run_dir) or f"it ended with exit code {returncode}"
