"""The log of a challenge's submissions: appended to, never changed; a later line with the same calls adds a score."""

from __future__ import annotations

import hashlib
import json
import os
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
OF_OUT_OF_FOLD = ("system", "f1", "of_validation", "low", "high", "prevalence", "threshold")


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
        score: on the leaderboard; None while it is not known.
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
    score: float | None = None
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
        except (ValueError, TypeError, KeyError):
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


def threshold_of_file(path: Path, n_called: int, n: int, view: Predictions) -> tuple[AppliedThreshold | None, str]:
    """Return the threshold by which ``predict`` called a file's images, from the meta data beside it.

    Args:
        path: of the file.
        n_called: its labels that are 1.
        n: its labels.
        view: out-of-fold rows; a rule that chose the threshold on them is returned with it.

    Returns:
        The threshold, and the reason why it is not known; one of them is None or empty.

    Raises:
        UserError: the meta data can't be read.
    """
    beside = path.with_suffix(".meta.json")
    if not beside.is_file():
        return None, f"the file's threshold is not known (there is no {beside})"
    meta: dict[str, Any] = read_json(beside, "facts about a submission", {}, remedy="restore it, or remove it")
    chosen = meta.get("threshold")
    if not isinstance(chosen, dict) or not isinstance(chosen.get("value"), NUMBER):
        return None, f"the file's threshold is not known ({beside} has none)"
    if (chosen.get("called"), meta.get("images")) != (n_called, n):
        return None, f"the file's threshold is not known ({beside} is of another file)"
    value = float(chosen["value"])
    if not chosen.get("rows_sha256") or chosen["rows_sha256"] != rows_hash(view.image_id):
        return AppliedThreshold(value), ""
    return AppliedThreshold(value, chosen["rule"], float(chosen["cost_ratio"]), chosen["prevalence"]), ""


def compare(earlier: Submission, later: Submission, public_share: float) -> Change:
    """Return the change of the score between two scored submissions, and how large chance alone makes it.

    Args:
        earlier: with a score.
        later: likewise.
        public_share: share of the test images that the leaderboard scores.
    """
    before, after = earlier.score or 0.0, later.score or 0.0
    changed = len(set(earlier.called) ^ set(later.called))
    prevalence = later.prevalence if later.prevalence is not None else earlier.prevalence
    noise = float("nan")
    if prevalence is not None:
        n_called = public_share * (len(earlier.called) + len(later.called)) / 2
        n_positive = public_share * later.images * prevalence
        noise = Z * change_error(round(public_share * changed), n_called, n_positive, (before + after) / 2)
    return Change(after - before, noise, changed)
