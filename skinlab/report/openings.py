"""Report how often the test of a system's runs was opened, and which images a model knows from its training."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skinlab.evaluation.evidence.form import Evidence, System, TrainingOverlap
from skinlab.report.wording import overlap_sentence

VALIDATION = (
    "validation images: the best epoch was chosen on them, so the metrics are a little optimistic; for new images, "
    "open the test once: split=test."
)


def opening_sentence(access: Mapping[str, Any] | None) -> str:
    """Return a sentence on the openings of a test; "" where there are no runs, and so no record.

    Args:
        access: ``test_access`` of a system.

    >>> opening_sentence({"runs": 1, "openings": 0, "unknown_time": 0, "folder_openings": 0, "folder_runs": 1})
    'The test of this run has not been opened.'
    >>> one = {"runs": 1, "openings": 3, "unknown_time": 1, "first": "2026-11-02T09:30:00+00:00"}
    >>> opening_sentence(one | {"last": "2026-11-03T10:00:00+00:00", "folder_openings": 5, "folder_runs": 2})[:96]
    'The test of this run was opened 3 times, first 2026-11-02 09:30, last 2026-11-03 10:00 (UTC), 1 '
    """
    if not access:
        return ""
    who = "The test of this run" if access["runs"] == 1 else f"The test of these {access['runs']} runs"
    if access["openings"]:
        sentence = f"{who} was opened {_times(access['openings'])}{_when(access)}."
    else:
        sentence = f"{who} has not been opened."
    if access["folder_openings"] > access["openings"]:
        sentence += (
            f" Together with the runs beside it that have the same test images ({access['folder_runs']} runs), "
            f"{_times(access['folder_openings'])}."
        )
    if access["folder_openings"] > 1 and access["openings"]:
        sentence += (
            " If a run, recipe or threshold was chosen after an earlier opening, the test metrics are optimistic."
        )
    return sentence


def opening_lines(evidence: Evidence) -> list[str]:
    """Return the sentence of each system, with its name where there are several; one of all where none was opened."""
    systems = evidence["systems"]
    counts = [count for each in systems if (count := each.get("test_access"))]
    if len(counts) == len(systems) and not any(count["folder_openings"] for count in counts):
        runs = {Path(source["path"]).parent for each in systems for source in each["sources"]}
        return [opening_sentence(counts[0] | {"runs": len(runs)})]
    sentences = {each["name"]: opening_sentence(each.get("test_access")) for each in systems}
    if len(systems) == 1:
        return [sentence for sentence in set(sentences.values()) if sentence]
    return [f"{name}: {sentence}" for name, sentence in sentences.items() if sentence]


def _when(access: Mapping[str, Any]) -> str:
    if not access["first"]:
        return ", at an unknown time"
    first, last = (_minute(access[end]) for end in ("first", "last"))
    known = access["openings"] - access["unknown_time"]
    words = f", {first} (UTC)" if known == 1 else f", first {first}, last {last} (UTC)"
    unknown = f", {access['unknown_time']} of them at an unknown time" if access["unknown_time"] else ""
    return words + unknown


def _minute(time: str) -> str:
    return datetime.datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M")


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def is_validation(overlap: TrainingOverlap | None) -> bool:
    """Return whether a model knows some images since they chose its best epoch, and none from its training."""
    return bool(overlap and overlap.get("val") and not overlap_sentence(overlap))


def overlap_sentences(systems: Sequence[System]) -> list[str]:
    """Return what each system knows of its images, and once that some are validation images."""
    known = [system.get("training_overlap") for system in systems]
    found = [words for each in known if (words := overlap_sentence(each))]
    return [*found, f"These are {VALIDATION}"] if any(map(is_validation, known)) else found
