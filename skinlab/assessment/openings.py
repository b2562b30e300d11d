"""The locked test: who scored the test part of a run, when, by which command and how often.

What was chosen by a test is rated too high on it (Dwork et al., 2015, The reusable holdout, Science 349, 636-638). Each
opening is a line of ``test_access.jsonl`` in the run's directory.
"""

from __future__ import annotations

import datetime
import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict

from skinlab.assessment.systems import System
from skinlab.errors import UserError
from skinlab.evaluation.evidence.form import Evidence, OpeningCount
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import table_arrays
from skinlab.files import claim, write_json
from skinlab.json_files import read_json
from skinlab.report.run_files import read_predictions
from skinlab.tables.csv_files import read_csv

log = logging.getLogger(__name__)

FILE = "test_access.jsonl"
EARLIER = "before openings were logged"  # the command of an opening known only by the test metrics in metrics.json


class Opening(TypedDict):
    """One scoring of the test part of a run; the time is UTC, None where it is unknown."""

    time: str | None
    command: str
    command_line: str
    run_id: str | None
    split_sha256: str | None
    test_sha256: str | None
    output: str | None


def open_test(evidence: Evidence, systems: Sequence[System], command: str, output: Path, *, once: bool = False) -> None:
    """Log the openings of the systems' tests, if it is the test that they are judged on, and report all openings.

    Call it once everything else is known to be right, and before anything is shown.

    Args:
        evidence: of the systems; takes ``test_access`` of each that has runs.
        systems: in the order of the evidence.
        command: such as ``evaluate``.
        output: where the user will find the metrics.
        once: whether the same command with the same output is one opening, however often it is repeated.
    """
    new = log_openings(
        {run: None for system in systems for run in _runs(system) if _is_of_test(system, run)},
        command,
        evidence["provenance"]["command"],
        output,
        once=once,
    )
    for block, system in zip(evidence["systems"], systems, strict=True):
        if runs := _runs(system):
            block["test_access"] = count_openings(runs, new)


def log_openings(
    runs: Iterable[Path], command: str, command_line: str, output: Path, *, once: bool = False
) -> dict[Path, Opening]:
    """Log an opening of the test in each of some runs, and add its metrics to their ``metrics.json``.

    Args:
        runs: directories.
        command: such as ``evaluate``.
        command_line: as typed, without secrets.
        output: where the user will find the metrics.
        once: see :func:`open_test`.

    Returns:
        The openings, also those that could not be written, of which a warning tells.
    """
    now, found = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"), {}
    for run in runs:
        facts, known = _metrics(run), read_openings(run)
        opening: Opening = {
            "time": now,
            "command": command,
            "command_line": command_line,
            "run_id": facts.get("run_id"),
            "split_sha256": facts.get("split_sha256"),
            "test_sha256": hash_of_test(run),
            "output": str(output.absolute()),
        }
        same = [each for each in known if (each["command"], each["output"]) == (command, opening["output"])]
        if once and same:
            opening = same[-1]
            written = True
        else:
            written = _append(run, [*([] if (run / FILE).exists() else known), opening])
        if written:
            _add_test_metrics(run, facts)
        found[run] = opening
    return found


def read_openings(run: Path) -> list[Opening]:
    """Return the openings of a run's test, the first one first.

    Test metrics of a run without a log, from before there was one, count as an opening at an unknown time, and so does
    a line that can't be read.
    """
    try:
        lines = (run / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [_unknown(run)] if any(name.startswith("test/") for name in _metrics(run)) else []
    return [_parsed(line, run) for line in lines if line.strip()]


def count_openings(runs: Sequence[Path], new: dict[Path, Opening]) -> OpeningCount:
    """Return how often the test of some runs was opened, and that of all runs beside them with the same test images.

    Args:
        runs: directories.
        new: openings by this command, which may have left no line.
    """
    own = {run: _with_new(run, new) for run in runs}
    tests = {run: hash_of_test(run) for run in runs}
    beside = {
        path
        for run, mine in tests.items()
        for path in _opened_beside(run)
        if path not in own and mine is not None and mine == hash_of_test(path)
    }
    events = _events(own)
    every = events | _events({run: _with_new(run, new) for run in beside})
    times = sorted(time for time, _ in events if time)
    return {
        "runs": len(runs),
        "openings": len(events),
        "unknown_time": sum(time is None for time, _ in events),
        "first": times[0] if times else None,
        "last": times[-1] if times else None,
        "folder_runs": len(runs) + len(beside),
        "folder_openings": len(every),
    }


def hash_of_test(run: Path) -> str | None:
    """Return a SHA-256 of the names of the images in a run's test, the same for all its folds; None without a test."""
    try:
        names = sorted(read_csv(run / "predictions" / "test.csv", ["image_id"])["image_id"])
    except (OSError, UserError):
        return None
    return hashlib.sha256("\x1f".join(names).encode()).hexdigest()


def _runs(system: System) -> list[Path]:
    """Return the directories of a system's runs, also of a table that lies in one."""
    within = [Path(source["path"]).absolute().parent for source in system.sources]
    homes = [folder.parent for folder in within if folder.name == "predictions"]
    found = [run.path.absolute() for run in system.runs] + [home for home in homes if (home / "config.yaml").is_file()]
    return list(dict.fromkeys(found))


def _is_of_test(system: System, run: Path) -> bool:
    """Return whether a system has test rows of a run."""
    of_test = [Path(source["path"]).absolute() for source in system.sources if source["split"] == "test"]
    own = [path for path in of_test if run in path.parents]
    return bool(own) or (bool(of_test) and run in [each.path.absolute() for each in system.runs])


def _opened_beside(run: Path) -> list[Path]:
    """Return the runs in the folder of a run whose test was opened."""
    folders = {path.parent for name in (FILE, "metrics.json") for path in run.parent.glob(f"*/{name}")}
    return sorted(folder for folder in folders if read_openings(folder))


def _events(openings: dict[Path, list[Opening]]) -> set[tuple[str | None, str]]:
    """Return the openings of several runs; one command opens all of its runs at once."""
    return {
        (each["time"], each["command_line"] if each["time"] else f"{run} {i}")
        for run, found in openings.items()
        for i, each in enumerate(found)
    }


def _with_new(run: Path, new: dict[Path, Opening]) -> list[Opening]:
    known = read_openings(run)
    return [*known, *([new[run]] if run in new and new[run] not in known else [])]


def _unknown(run: Path, facts: dict[str, Any] | None = None) -> Opening:
    facts = facts or _metrics(run)
    return {
        "time": None,
        "command": EARLIER,
        "command_line": EARLIER,
        "run_id": facts.get("run_id"),
        "split_sha256": facts.get("split_sha256"),
        "test_sha256": None,
        "output": None,
    }


def _parsed(line: str, run: Path) -> Opening:
    try:
        content = json.loads(line)
        time = content["time"]
        if time is not None:
            datetime.datetime.fromisoformat(time)
        known: Any = _unknown(run, {"run_id": None}) | content | {"time": time}
        if not all(isinstance(known[name], str | None) for name in Opening.__annotations__):
            raise TypeError("a value is no text")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return _unknown(run, {"run_id": None})
    opening: Opening = known
    return opening


def _metrics(run: Path) -> dict[str, Any]:
    """Return the metrics of a run, {} where they can't be read."""
    try:
        found: dict[str, Any] = read_json(run / "metrics.json", "metrics of a run", {})
    except (OSError, UserError):
        return {}
    return found


def _append(run: Path, openings: Sequence[Opening]) -> bool:
    """Append lines to the log of a run, all in one write; return whether it could be written, with a warning if not."""
    path, text = run / FILE, "".join(json.dumps(each) + "\n" for each in openings)
    try:
        if path.exists() and not path.read_bytes().endswith(b"\n"):  # cut off by a full disk
            text = "\n" + text
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if os.write(handle, data := text.encode()) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        log.warning("this opening of the test is not in %s (%s): note it yourself", path, error.strerror)
        return False
    return True


def _add_test_metrics(run: Path, facts: dict[str, Any]) -> None:
    """Add ``test/…`` to a run's metrics, the same as a training with ``test=true`` records."""
    path = run / "metrics.json"
    if not facts or not (run / "predictions" / "test.csv").is_file():
        return
    try:
        table = read_predictions(run / "predictions" / "test.csv")
        table = table[table["label"] != ""].reset_index(drop=True)
        found = classification_metrics(*table_arrays(table), facts.get("positive"))
        metrics = facts | {f"test/{name}": value for name, value in found.items()}
        if json.dumps(metrics) != json.dumps(facts):
            with claim(run):
                write_json(path, metrics)
    except (OSError, ValueError) as error:  # a UserError is a ValueError
        log.warning("%s has no test metrics: %s", path, error)
