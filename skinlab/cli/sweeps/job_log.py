"""Keep how a job of a sweep has ended in its run directory: its error in the log, or its config and time."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skinlab.files import write_json
from skinlab.json_files import NUMBER, read_json
from skinlab.processes.jobs import signal_in_words
from skinlab.processes.signals import stop_code
from skinlab.settings.recorded import is_finished
from skinlab.settings.secrets import masked

LOG = "log.txt"  # that of skinlab.runs.run_log, which has no line yet where a job is refused
JOB = "job.json"
MARK = " ERROR: error: "


def keep_error(run_dir: Path, line: str) -> None:
    """Append an error to the log of a run unless it ends with it; a folder that can't be written stays without.

    The folder is made where the run was refused before it was.

    Args:
        run_dir: of the job.
        line: the error.
    """
    line = str(masked(line))
    if read_error(run_dir) == line:
        return
    try:
        run_dir.mkdir(exist_ok=True)
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


def keep_time(run_dir: Path, config: Mapping[str, Any], seconds: float) -> None:
    """Keep the config and the time of a finished job, for the sweep that is started again.

    Args:
        run_dir: of the job.
        config: resolved.
        seconds: that it took.
    """
    write_json(run_dir / JOB, {"config_sha256": _hash(config), "seconds": seconds})


def read_time(run_dir: Path, config: Mapping[str, Any]) -> float | None:
    """Return the seconds that a job with this config took, None where it has not finished before."""
    if not is_finished(run_dir) or not (run_dir / JOB).is_file():
        return None
    return read_seconds(run_dir) if _read_job(run_dir)["config_sha256"] == _hash(config) else None


def read_seconds(run_dir: Path) -> float:
    """Return the seconds that a job took, 0 where that is not known."""
    return float(_read_job(run_dir)["seconds"]) if (run_dir / JOB).is_file() else 0.0


def _read_job(run_dir: Path) -> dict[str, Any]:
    kept: dict[str, Any] = read_json(
        run_dir / JOB, "record of a job", {"config_sha256": str, "seconds": NUMBER}, remedy="delete it"
    )
    return kept


def _hash(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def reason_of(run_dir: Path, returncode: int) -> str:
    """Return in words why a job failed.

    Args:
        run_dir: of the job.
        returncode: of its process, negative for the signal that ended it.

    >>> reason_of(Path("/nowhere"), -9)
    'it was ended by SIGKILL (out of memory?)'
    """
    if returncode < 0:
        return signal_in_words(returncode)
    if stop_code(returncode) is not None:
        return "it was stopped from outside"
    return read_error(run_dir) or f"it ended with exit code {returncode}"
