"""Check a submission of 0 and 1 for a challenge, expect its F1 from out-of-fold predictions, and log it."""

from __future__ import annotations

import datetime
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Column, Table

from skinlab.assessment.evaluation_settings import table_reader
from skinlab.assessment.out_of_fold import LabelledPredictions, read_labelled_predictions
from skinlab.assessment.sources import checkpoints_of
from skinlab.assessment.submission_file import check_rows, read_sample, read_submission
from skinlab.assessment.submissions import (
    OF_OUT_OF_FOLD,
    Change,
    Submission,
    append,
    applied_threshold,
    compare,
    facts_of_file,
    file_hash,
    read_log,
)
from skinlab.errors import UserError, some, user_errors
from skinlab.evaluation.submission_check import NewTest, Outlook, outlook
from skinlab.settings.commands.submit import SubmitSettings
from skinlab.settings.part import build
from skinlab.text import quantity

log = logging.getLogger(__name__)

COLUMNS = ["ID", "label"]
FIXED = "†"  # marks an F1 that is at a threshold which was not chosen on other images than it is of
CHECKS = {  # what to do about so many positive calls
    "many": "look at some of the images called 1, or predict again at a higher threshold,",
    "few": "look at some of the test's images, or predict again at a lower threshold,",
}
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
    called, n = check_file(path, settings)
    log.info("%s: %s, %d called positive (%.1f %%)", path, quantity(n, "image"), len(called), 100 * len(called) / n)

    own = record(settings, path, called, n, earlier)
    found = known = None
    is_other = False
    if settings.predictions is not None:
        known = read_labelled_predictions(settings.predictions, settings.positive, table_reader(settings))
        facts, unknown = facts_of_file(path, len(called), n)
        if is_other := of_other_model(facts, known, settings):
            facts, unknown = {}, "the file's threshold is that of another model"
        applied = applied_threshold(facts["threshold"], known.rows) if facts else None
        new = NewTest(n, len(called), max(round(n * own.public_share), 2), settings.prevalences)
        with user_errors("predictions: "):
            how: dict[str, Any] = {"n_draws": settings.n_draws, "level": settings.level, "seed": settings.seed}
            found = outlook(known.rows, new, applied, **how)
        compare_rates(found, known, new, unknown)
        print_outlook(found, known, new.n_scored, is_known=applied is not None)
    if found is not None and known is not None and not is_other:
        own = with_expectation(own, settings, found, known)
    append(journal, own)
    if own.also:
        log.info("%s has the calls of %s: they are one row of the table", path, ", ".join(own.also))
    logged = {each.calls: each for each in earlier} | {own.calls: own}
    show_log(list(logged.values()), own)
    log.info("logged: %s", journal)


def check_file(path: Path, settings: SubmitSettings) -> tuple[list[str], int]:
    """Return the ids with the label 1, and the number of test images.

    Raises:
        UserError: one line with all that is wrong with the file.
    """
    sample = None if settings.sample is None else read_sample(Path(settings.sample).expanduser())
    table = read_submission(path, COLUMNS if sample is None else list(sample.columns))
    expected = test_ids(settings) if sample is None else sample.iloc[:, 0].tolist()
    check_rows(path, table, expected)
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


def of_other_model(facts: Mapping[str, Any], known: LabelledPredictions, settings: SubmitSettings) -> bool:
    """Return whether the file was predicted by other checkpoints than the labelled images, and warn of it.

    Args:
        facts: beside the file; empty where its model is not known.
        known: labelled images.
        settings: of the command.
    """
    own, place = checkpoints_of(facts), settings.predictions
    if not own or not known.checkpoints or own == known.checkpoints:
        return False
    log.warning(
        "%s is by %s, predictions=%s is by other checkpoints: what follows holds for %s, and no F1 is logged; set "
        "predictions= to the file's model, or predict again: python -m skinlab.predict ckpt=%s",
        *(settings.check, some(facts.get("models") or ["another model"], 3), place, place, place),
    )
    return True


def compare_rates(found: Outlook, known: LabelledPredictions, new: NewTest, unknown: str) -> None:
    """Log how many labels are 1 compared with the share predicted positive out of fold, and how good a threshold is.

    Args:
        found: what is expected.
        known: labelled images that it is expected by.
        new: the test, with the file's calls.
        unknown: why the file's threshold is not known; empty where it is.
    """
    if unknown:
        log.info("%s: compared with that of best F1 %s, %.4f", unknown, known.where, found.threshold)
    whose, (low, high) = "the threshold of best F1" if unknown else "the file's threshold", found.expected
    line = f"{new.n_called} of {new.n} are called; at {whose}, {found.threshold:.4f}, {low} to {high} are expected"
    if low <= new.n_called <= high:
        log.info("%s", line)
    else:
        too = "many" if new.n_called > high else "few"
        log.warning("%s: these are %s; %s before you submit", line, f"too {too}", CHECKS[too])
    if not unknown and found.threshold != found.best_threshold and found.f1.value < found.best_f1:
        log.log(
            logging.WARNING if found.discernible else logging.INFO,
            "F1 %s is %.3f at the file's threshold %.4f, and %.3f at %.4f%s",
            *(known.where, found.f1.value, found.threshold, found.best_f1, found.best_threshold),
            ": predict again by skinlab.predict threshold=f1" if found.discernible else " (not discernibly better)",
        )


def record(
    settings: SubmitSettings, path: Path, called: Sequence[str], n: int, earlier: Sequence[Submission]
) -> Submission:
    """Return the line for the log; what a former line with the same calls has and is not given now stays."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    own = Submission(now, str(path), file_hash(path), n, list(called), score=settings.score, note=settings.note)
    own = replace(own, public_share=settings.public_share or 1.0)
    former = next((each for each in earlier if each.calls == own.calls), None)
    if former is None:
        return own
    return replace(
        own,
        also=[name for name in (former.file, *former.also) if name != own.file],
        score=former.score if own.score is None else own.score,
        note=own.note or former.note,
        public_share=settings.public_share or former.public_share,
        **{name: getattr(former, name) for name in OF_OUT_OF_FOLD},
    )


def with_expectation(
    own: Submission, settings: SubmitSettings, found: Outlook, known: LabelledPredictions
) -> Submission:
    """Return a line of the log with its system and, unless all labels are equal, with what is expected of it."""
    own = replace(own, system=settings.predictions, prevalence=found.prevalence, of_validation=known.of_validation)
    if len(own.called) in (0, own.images):  # no threshold explains it, so that no F1 belongs to it
        return replace(own, f1=None, low=None, high=None, threshold=None)
    f1 = found.f1
    own = replace(own, f1=f1.value, low=f1.low, high=f1.high)
    return replace(own, threshold=found.threshold, cross_fitted=found.cross_fitted)


def show_log(submissions: Sequence[Submission], own: Submission) -> None:
    """Print the log, and warn of a change inside the noise and of a score that is not as expected.

    Args:
        submissions: in the order of their first checks.
        own: that is checked now.
    """
    changes: list[Change | None] = []
    last: Submission | None = None
    for each in submissions:
        changes.append(compare(last, each) if last is not None and each.score is not None else None)
        last = each if each.score is not None else last
    print_log(submissions, changes)
    if own.score is None:
        return
    if own.low is not None and own.high is not None and own.f1 is not None and not own.low <= own.score <= own.high:
        where = "of the validation part" if own.of_validation else "out of fold"
        log.warning(
            "the leaderboard's %.3f is outside what %.3f %s makes likely (%.3f to %.3f): the test has another "
            "share of positives or other images, or the model or its threshold was chosen on these images",
            *(own.score, own.f1, where, own.low, own.high),
        )
    change = changes[submissions.index(own)]
    if change is not None and abs(change.change) <= change.noise:
        log.warning(
            "the change of %+.3f is inside the noise: %d changed labels that are no better change F1 by up to ±%.3f; "
            "choose by the out-of-fold predictions",
            *(change.change, change.labels, change.noise),
        )


def print_outlook(found: Outlook, known: LabelledPredictions, n_test: int, *, is_known: bool) -> None:
    """Print the threshold of best F1 and what F1 to expect at several shares of positives.

    Args:
        found: out of fold.
        known: labelled images that it is by.
        n_test: number of test images that are scored.
        is_known: whether F1 is at the file's own threshold.
    """
    span = "no range: too few groups of a class" if found.low is None else f"{found.low:.4f} to {found.high:.4f}"
    console = Console()
    _print(console, f"threshold of best F1 {known.where}: {found.best_threshold:.4f} (not discernibly worse: {span})")
    whose = "the file's threshold" if is_known else "the threshold of best F1"
    fitted = " (cross-fitted)" if found.cross_fitted else " (fixed)"
    _print(console, f"expected F1 at {whose}, {found.threshold:.4f}{fitted}, by the test's share of positives:")
    table = Table("positives", f"F1 of {n_test:,} images", "best threshold there")
    for row in found.rows:
        f1, share, mark = row["f1"], row["prevalence"], ""
        if math.isclose(share, found.prevalence):
            mark = f" ({known.where})"
        elif share == found.explaining:
            mark = " (explains the calls)"
        ends = "" if f1["low"] is None else f" [{f1['low']:.3f}, {f1['high']:.3f}]"
        table.add_row(f"{share:.1%}{mark}", f"{f1['value']:.3f}{ends}", f"{row['best_threshold']:.4f}")
    console.print(table)
    _print(console, "the intervals hold the threshold fixed: they leave out how its choice varies")
    if known.of_validation:
        positives = quantity(found.positives, "positive")
        line = (
            f"! one validation part, {positives}: epochs were chosen on these images, so that the true F1 is probably "
        )
        _print(console, f"{line}lower; predictions= of all folds would estimate it better")


def print_log(submissions: Sequence[Submission], changes: Sequence[Change | None]) -> None:
    """Print the log, in 80 columns where names of files allow.

    Args:
        submissions: in order.
        changes: from the last scored one to each; None where one is unknown.
    """
    names = ["\n= ".join([each.file, *each.also]) for each in submissions]
    width = max(len(line) for name in names for line in name.splitlines())
    scored = any(each.score is not None for each in submissions)
    of_validation = {each.of_validation for each in submissions if each.f1 is not None}
    f1 = "F1 of the\nvalidation\npart" if of_validation == {True} else "F1 out\nof fold"
    table = Table("", Column("file", overflow="fold", min_width=min(width, MIN_NAME)), "called", f1)
    for header in ("score", "score\nless F1", "change\n± noise") if scored else ():
        table.add_column(header)
    mixed = len(of_validation) == 2
    for number, (name, each, change) in enumerate(zip(names, submissions, changes, strict=True), 1):
        less = "" if each.f1 is None or each.score is None else f"{each.score - each.f1:+.3f}"
        moved = "" if change is None else f"{change.change:+.3f} ±{change.noise:.3f}"
        star = "*" if mixed and each.of_validation and each.f1 is not None else ""
        star += FIXED if each.f1 is not None and each.cross_fitted is False else ""
        cells = [str(number), name, f"{len(each.called)}", _number(each.f1) + star, _number(each.score), less, moved]
        table.add_row(*cells[: len(table.columns)])
    console = Console()
    console.print(table)
    if mixed:
        _print(console, "* of a validation part")
    if any(each.f1 is not None and each.cross_fitted is False for each in submissions):
        _print(
            console,
            f"{FIXED} at the file's own fixed threshold; other F1 are cross-fitted, which are usually a little lower",
        )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
