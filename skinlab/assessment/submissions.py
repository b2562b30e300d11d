"""The log of a challenge's submissions: appended to, never changed; a later line with the same calls adds a score."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from skinlab.errors import UserError
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.submission_check import AppliedThreshold, change_error
from skinlab.evaluation.thresholds.frozen import rows_hash
from skinlab.files import claim_file
from skinlab.json_files import NUMBER, read_json

FORMAT = 1
Z = 1.96
OF_OUT_OF_FOLD = ("system", "f1", "of_validation", "low", "high", "prevalence", "threshold", "cross_fitted")


@dataclass(frozen=True)
class Submission:
    """A line of the log.

    Attributes:
        time: UTC.
        file: as given.
        sha256: of its content.
        images: number of test images.
        called: ids with the label 1.
        system: whose out-of-fold predictions belong to it; None where there are none.
        f1: out of fold; None where nothing or everything is called, which no threshold explains.
        of_validation: whether it is of one validation part, on which thresholds and epochs are chosen.
        low: lower end of what is expected on the test's public part.
        high: upper end.
        prevalence: share of positives out of fold.
        threshold: that ``f1`` is at: the file's, or that of best F1 out of fold where the file's is not known.
        cross_fitted: whether ``f1`` is at thresholds that were chosen on other images; None in older lines.
        score: on the leaderboard; None while it is not known.
        public_share: share of the test images that the leaderboard scores.
        note: the user's.
        also: other files with the same calls, which the lines above have; not in the line itself.
    """

    time: str
    file: str
    sha256: str
    images: int
    called: list[str] = field(default_factory=list)
    system: str | None = None
    f1: float | None = None
    of_validation: bool = False
    low: float | None = None
    high: float | None = None
    prevalence: float | None = None
    threshold: float | None = None
    cross_fitted: bool | None = None
    score: float | None = None
    public_share: float = 1.0
    note: str | None = None
    also: list[str] = field(default_factory=list)

    @property
    def calls(self) -> tuple[int, frozenset[str]]:
        """The number of images and the ids called, which are the same for files that a challenge scores the same."""
        return self.images, frozenset(self.called)


@dataclass(frozen=True)
class Change:
    """From one scored submission to the next.

    Attributes:
        change: of the score.
        noise: how much of it changed labels that are no better make in 95 % of cases; NaN where the share of positives
            is unknown.
        labels: number that changed.
    """

    change: float
    noise: float
    labels: int


def read_log(path: Path) -> list[Submission]:
    """Return the submissions of a log in the order of their first lines; of several with equal calls the last counts.

    Raises:
        UserError: a line can't be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"log={path} can't be read ({error}): name another file") from None
    found: dict[tuple[int, frozenset[str]], Submission] = {}
    names = {each.name for each in fields(Submission)} - {"also"}
    for number, line in enumerate(lines, 1):
        try:
            content: dict[str, Any] = json.loads(line)
            if content["format"] > FORMAT:
                raise UserError(f"log={path}: line {number} is of a later skinlab; install that one")
            submission = Submission(**{key: content[key] for key in names & content.keys()})
            found[submission.calls] = _merged(found.get(submission.calls), submission)
        except UserError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UserError(
                f"log={path}: line {number} is no submission; restore the file or name another one"
            ) from None
    return list(found.values())


def _merged(former: Submission | None, later: Submission) -> Submission:
    """Return a line with the other names, and with what only the former line with the same calls has."""
    if former is not None:
        also = [name for name in (former.file, *former.also) if name != later.file]
        kept = OF_OUT_OF_FOLD if later.f1 is None else ()
        kept = (*kept, *(name for name in ("score", "note") if getattr(later, name) is None))
        kept = (*kept, "public_share") if "score" in kept else kept
        later = replace(later, also=also, **{name: getattr(former, name) for name in kept})
    if len(later.called) in (0, later.images):  # no threshold explains equal labels, so that no F1 belongs to them
        later = replace(later, f1=None, low=None, high=None, threshold=None)
    return later


def append(path: Path, submission: Submission) -> None:
    """Add a line to a log, which is flushed to the disk; nothing that is there is changed.

    Raises:
        UserError: the file can't be written.
    """
    content = {key: value for key, value in asdict(submission).items() if key != "also"}
    line = json.dumps({"format": FORMAT} | content) + "\n"
    try:
        with claim_file(path, "log"), path.open("ab+") as file:
            if file.tell() and path.read_bytes()[-1:] != b"\n":  # cut off by a full disk
                file.write(b"\n")
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"log={path} can't be written ({error.strerror}): choose another file") from None


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def facts_of_file(path: Path, n_called: int, n: int) -> tuple[dict[str, Any], str]:
    """Return the meta data that ``predict`` wrote beside a file, with the threshold by which its images are called.

    Args:
        path: of the file.
        n_called: its labels that are 1.
        n: its labels.

    Returns:
        The meta data, and the reason why the threshold is not known; one of them is empty.

    Raises:
        UserError: the meta data can't be read.
    """
    beside = path.with_suffix(".meta.json")
    if not beside.is_file():
        return {}, f"the file's threshold is not known (there is no {beside})"
    meta: dict[str, Any] = read_json(beside, "facts about a submission", {}, remedy="restore it, or remove it")
    chosen = meta.get("threshold")
    if not isinstance(chosen, dict) or not isinstance(chosen.get("value"), NUMBER):
        return {}, f"the file's threshold is not known ({beside} has none)"
    if (chosen.get("called"), meta.get("images")) != (n_called, n):
        return {}, f"the file's threshold is not known ({beside} is of another file)"
    return meta, ""


def applied_threshold(chosen: Mapping[str, Any], view: Predictions) -> AppliedThreshold:
    """Return a threshold of meta data, with its rule where that chose it on the rows of ``view``."""
    value = float(chosen["value"])
    if not chosen.get("rows_sha256") or chosen["rows_sha256"] != rows_hash(view.image_id):
        return AppliedThreshold(value)
    return AppliedThreshold(value, chosen["rule"], float(chosen["cost_ratio"]), chosen["prevalence"])


def compare(earlier: Submission, later: Submission) -> Change:
    """Return the change of the score between two scored submissions, and how large chance alone makes it.

    Args:
        earlier: with a score.
        later: likewise; the leaderboard scores its ``public_share``.
    """
    before, after = earlier.score or 0.0, later.score or 0.0
    changed = len(set(earlier.called) ^ set(later.called))
    prevalence = later.prevalence if later.prevalence is not None else earlier.prevalence
    noise = float("nan")
    if prevalence is not None:
        n_called = later.public_share * (len(earlier.called) + len(later.called)) / 2
        n_positive = later.public_share * later.images * prevalence
        noise = Z * change_error(round(later.public_share * changed), n_called, n_positive, (before + after) / 2)
    return Change(after - before, noise, changed)
