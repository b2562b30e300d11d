"""Check a submission of 0 and 1 for a challenge, expect its F1 from out-of-fold predictions, and log it."""

from __future__ import annotations

import datetime
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Column, Table

from skinlab.assessment.evaluation_settings import table_reader
from skinlab.assessment.submissions import (
    Change,
    Submission,
    append,
    compare,
    file_hash,
    read_log,
    threshold_of_file,
)
from skinlab.assessment.systems import align, find_systems
from skinlab.errors import UserError, user_errors
from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.submission_check import (
    NewTest,
    Outlook,
    expected_calls,
    explaining_prevalence,
    find_faults,
    outlook,
)
from skinlab.settings.commands.submit import SubmitSettings
from skinlab.settings.part import build
from skinlab.tables.csv_files import read_csv
from skinlab.tables.positive import positive_class

log = logging.getLogger(__name__)

COLUMNS = ["ID", "label"]
MIN_NAME = 16  # characters of a file's name in a line of the table, however many columns there are


def submit(settings: SubmitSettings) -> None:
    """Check the file ``check``, print what to expect of it and add it to the log.

    Args:
        settings: of the command.

    Raises:
        UserError: whatever is wrong with the file, in one line; it is not logged then.
    """
    path, journal = Path(settings.check).expanduser(), Path(settings.log).expanduser().absolute()
    earlier = read_log(journal)
    view = None if settings.predictions is None else out_of_fold(settings)
    called, n = check_file(path, settings)
    log.info("%s: %d images, %d called positive (%.1f %%)", path, n, len(called), 100 * len(called) / n)

    found = None
    if view is not None:
        threshold, unknown = threshold_of_file(path, len(called), n)
        new = NewTest(max(round(n * settings.public_share), 2), settings.prevalences)
        with user_errors("predictions: "):
            found = outlook(view, new, threshold, n_draws=settings.n_draws, level=settings.level, seed=settings.seed)
        compare_rates(found, view, len(called), n, settings.level, unknown)
        print_outlook(found, new.n_scored, is_known=threshold is not None)
    own = record(settings, path, called, n, found, earlier)
    append(journal, own)
    if own.also:
        log.info("%s has the content of %s: they are one row of the table", path, ", ".join(own.also))
    logged = [each for each in earlier if each.sha256 != own.sha256]
    show_log([*logged, own], settings.public_share)
    log.info("logged: %s", journal)


def out_of_fold(settings: SubmitSettings) -> Predictions:
    """Return the out-of-fold rows of two classes, the positive one last.

    Raises:
        UserError: there are none, they are of several systems, or the positive class isn't known.
    """
    systems = find_systems([settings.predictions or ""], split="val", reader=table_reader(settings))
    if len(systems) != 1:
        names = ", ".join(system.name for system in systems)
        raise UserError(f"predictions={settings.predictions} holds {len(systems)} systems ({names}); name one of them")
    with user_errors():
        (system,) = align(systems, settings.positive)
        rows = mean_predictions(system.tables)
        if settings.positive is None and len(rows.classes) == 2:
            return rows.positive_last(positive_class(rows.classes))
        if settings.positive is None:
            raise UserError(f"positive= is missing: name some of {', '.join(rows.classes)}, as in 'positive=[A,B]'")
        return rows if rows.classes == ["other", "positive"] else rows.binary(settings.positive)


def check_file(path: Path, settings: SubmitSettings) -> tuple[list[str], int]:
    """Return the ids with the label 1, and the number of test images.

    Raises:
        UserError: one line with all that is wrong with the file.
    """
    table = read_csv(path)
    sample = None if settings.sample is None else read_csv(Path(settings.sample).expanduser())
    wanted = COLUMNS if sample is None else list(sample.columns)
    if list(table.columns) != wanted or len(wanted) != 2:
        raise UserError(f"{path} has the columns {', '.join(table.columns)}; the challenge wants {', '.join(wanted)}")
    expected = test_ids(settings) if sample is None else sample.iloc[:, 0].tolist()
    if faults := find_faults(table, expected):
        raise UserError(f"{path} is no valid submission of {len(expected)} images: {'; '.join(faults)}")
    if sample is not None and table.iloc[:, 0].tolist() != expected:
        log.warning("%s: its order is not the sample's; Kaggle goes by the ids, other challenges may not", path)
    called = table.iloc[:, 0][table.iloc[:, 1] == "1"].tolist()
    if len(called) in (0, len(table)):
        log.warning(
            "%s: every label is %d; F1 will be %s", path, int(bool(called)), "that of chance" if called else "0"
        )
    return called, len(table)


def test_ids(settings: SubmitSettings) -> list[str]:
    """Return the ids of the test images of ``data``.

    Raises:
        UserError: the data can't be read or has no test images without labels.
    """
    manifest: pd.DataFrame = build(settings.data.reader)()
    ids: list[str] = manifest["image_id"][manifest["split"] == "held_out"].tolist()
    if not ids:
        raise UserError(
            f"data={settings.data.name} has no test images without labels: set sample=SAMPLE_SUBMISSION.csv"
        )
    return ids


def compare_rates(found: Outlook, view: Predictions, n_called: int, n: int, level: float, unknown: str) -> None:
    """Log how many labels are 1 compared with the share predicted positive out of fold, and how good a threshold is.

    Args:
        found: what is expected.
        view: out-of-fold rows.
        n_called: labels that are 1.
        n: labels.
        level: of the expected range.
        unknown: why the file's threshold is not known; empty where it is.
    """
    low, high = expected_calls(found.called, len(set(view.group)), n, level)
    if unknown:
        log.info("%s: compared with that of best F1 out of fold, %.4f", unknown, found.threshold)
    whose = "the threshold of best F1" if unknown else "the file's threshold"
    line = f"{n_called} of {n} are called; at {whose}, {found.threshold:.4f}, {low} to {high} are expected"
    if low <= n_called <= high:
        log.info("%s", line)
    else:
        share = explaining_prevalence(view, found.threshold, n_called / n)
        by_share = "" if share is None else f"a share of positives of {share:.1%} ({found.prevalence:.1%} out of fold)"
        by_threshold = "another threshold" if unknown else ""
        causes = " or ".join(filter(None, [by_threshold, by_share])) or "neither its share of positives nor chance"
        verb = "would explain it" if by_threshold or by_share else "explains it"
        log.warning("%s: %s %s; check the model and the images", line, causes, verb)
    if not unknown and found.threshold != found.best_threshold and found.f1.value < found.best_f1:
        log.log(
            logging.WARNING if found.discernible else logging.INFO,
            "F1 out of fold is %.3f at the file's threshold %.4f, and %.3f at %.4f%s",
            *(found.f1.value, found.threshold, found.best_f1, found.best_threshold),
            ": predict again by skinlab.predict threshold=f1" if found.discernible else " (not discernibly better)",
        )


def record(
    settings: SubmitSettings,
    path: Path,
    called: Sequence[str],
    n: int,
    found: Outlook | None,
    earlier: Sequence[Submission],
) -> Submission:
    """Return the line for the log; what the file's former line has and is not given now stays."""
    digest = file_hash(path)
    former = next((each for each in earlier if each.sha256 == digest), None)
    facts: dict[str, Any] = {"score": settings.score, "note": settings.note}
    if found is not None:
        facts |= {"system": settings.predictions, "f1": found.f1.value, "low": found.f1.low, "high": found.f1.high}
        facts |= {"prevalence": found.prevalence, "threshold": found.threshold}
    also: list[str] = []
    if former is not None:
        also = [name for name in (former.file, *former.also) if name != str(path)]
        facts = {key: getattr(former, key) for key in Submission.__dataclass_fields__ if hasattr(former, key)} | {
            key: value for key, value in facts.items() if value is not None
        }
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    facts |= {"time": now, "file": str(path), "sha256": digest, "images": n, "called": list(called), "also": also}
    return Submission(**facts)


def show_log(submissions: Sequence[Submission], public_share: float) -> None:
    """Print the log, and warn of a change inside the noise and of a score that is not as expected."""
    changes: list[Change | None] = []
    last: Submission | None = None
    for each in submissions:
        changes.append(compare(last, each, public_share) if last is not None and each.score is not None else None)
        last = each if each.score is not None else last
    print_log(
        [
            {"files": [each.file, *each.also], "called": len(each.called), "f1": each.f1, "score": each.score}
            | {"change": change and change.change, "noise": change and change.noise}
            for each, change in zip(submissions, changes, strict=True)
        ]
    )
    own = submissions[-1]
    if own.score is None:
        return
    if own.low is not None and own.high is not None and own.f1 is not None and not own.low <= own.score <= own.high:
        log.warning(
            "the leaderboard's %.3f is outside what %.3f out of fold makes likely (%.3f to %.3f): the test has another "
            "share of positives or other images, or the out-of-fold predictions know their images",
            *(own.score, own.f1, own.low, own.high),
        )
    change = changes[-1]
    if change is not None and abs(change.change) <= change.noise:
        log.warning(
            "the change of %+.3f is inside the noise: %d changed labels that are no better change F1 by up to ±%.3f; "
            "choose by the out-of-fold predictions",
            *(change.change, change.labels, change.noise),
        )


def print_outlook(found: Outlook, n_test: int, *, is_known: bool) -> None:
    """Print the threshold of best F1 and what F1 to expect at several shares of positives.

    Args:
        found: out of fold.
        n_test: number of test images that are scored.
        is_known: whether F1 is at the file's own threshold.
    """
    span = "no range: too few groups of a class" if found.low is None else f"{found.low:.4f} to {found.high:.4f}"
    console = Console()
    _print(console, f"threshold of best F1 out of fold: {found.best_threshold:.4f} (not discernibly worse: {span})")
    whose = "the file's threshold" if is_known else "the threshold of best F1"
    _print(console, f"expected F1 at {whose}, {found.threshold:.4f}, by the test's share of positives:")
    table = Table("positives", f"F1 of {n_test:,} images", "best threshold there")
    for row in found.rows:
        f1, mark = row["f1"], " (out of fold)" if math.isclose(row["prevalence"], found.prevalence) else ""
        ends = "" if f1["low"] is None else f" [{f1['low']:.3f}, {f1['high']:.3f}]"
        table.add_row(f"{row['prevalence']:.1%}{mark}", f"{f1['value']:.3f}{ends}", f"{row['best_threshold']:.4f}")
    console.print(table)


def print_log(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the log.

    Args:
        rows: ``files`` of one content, ``called``, ``f1``, ``score`` and ``change`` with its ``noise``, None where
            unknown.
    """
    names = ["\n= ".join(row["files"]) for row in rows]
    width = max(len(line) for name in names for line in name.splitlines())
    scored = any(row["score"] is not None for row in rows)
    table = Table("", Column("file", overflow="fold", min_width=min(width, MIN_NAME)), "called", "F1 out of fold")
    for header in ("leaderboard", "difference", "change (noise)") if scored else ():
        table.add_column(header)
    for number, (name, row) in enumerate(zip(names, rows, strict=True), 1):
        f1, score = row["f1"], row["score"]
        difference = "" if f1 is None or score is None else f"{score - f1:+.3f}"
        change = "" if row["change"] is None else f"{row['change']:+.3f} (±{row['noise']:.3f})"
        cells = [str(number), name, f"{row['called']}", _number(f1), _number(score), difference, change]
        table.add_row(*cells[: len(table.columns)])
    Console().print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
