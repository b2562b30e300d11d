"""The report of an audit, content of ``audit.json``, and its lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from skinlab.data.audit.text_changes import Changes, describe_changes
from skinlab.data.readers.listing import left_out_warnings
from skinlab.errors import some
from skinlab.text import portion, quantity

VERSION = 1


class BadImageEntry(TypedDict):
    """An image that can't be used."""

    image_id: str
    path: str
    reason: str


class CopyEntry(TypedDict):
    """Two images with the same picture; `held_out` where one is of a challenge's test without labels."""

    a: str
    b: str
    labels: list[str]
    similarity: float
    exact: bool
    turned: bool
    held_out: bool


class Counts(TypedDict):
    """Numbers of images by label, source, split, kind of file and size, each the most frequent first."""

    groups: int
    grouped: bool
    labels: dict[str, int]
    sources: dict[str, int]
    splits: dict[str, int]
    kinds: dict[str, int]
    sizes: dict[str, int]


class Copies(TypedDict):
    """All copies, those with different labels, and those of a labelled and an unlabeled image."""

    duplicates: list[CopyEntry]
    label_conflicts: list[CopyEntry]
    pool_duplicates: list[CopyEntry]


class AuditReport(Counts, Copies):
    """What an audit found; `remembered` counts the images that an earlier audit has read."""

    version: int
    images: int
    kept: int
    on_bad_image: str
    bad_images: list[BadImageEntry]
    not_in_table: list[str]
    masks: list[str]
    other_formats: list[str]
    several_frames: list[str]
    text_changes: dict[str, Changes]
    merged_groups: dict[str, list[str]]
    few_groups: dict[str, int]
    remembered: int
    problems: list[str]
    warnings: list[str]
    seconds: float


class SourceReport(TypedDict):
    """Folds by source: source → fold, and what a group of two sources keeps together."""

    folds: dict[str, int]
    groups_across_sources: int
    images_in_folds_of_other_sources: int


class SplitCounts(TypedDict):
    """Of :func:`skinlab.data.pool.pool_report` and :func:`skinlab.data.splits.source_report`, where there are such."""

    pool: NotRequired[dict[str, int]]
    source_split: NotRequired[SourceReport]


class SplitAuditReport(AuditReport, SplitCounts):
    """That of split data."""


def summary(report: AuditReport) -> list[str]:
    """Return an audit's report as a few lines of text.

    >>> report = {"kept": 3, "images": 4, "groups": 3, "grouped": False, "labels": {"mel": 1, "nv": 2}}
    >>> report |= {"kinds": {"JPEG RGB": 3}, "sizes": {"600x450": 3}, "duplicates": [], "merged_groups": {}}
    >>> report |= {"problems": [], "warnings": ["1 of 4 images can't be used"], "remembered": 3, "seconds": 0.5}
    >>> for line in summary(report):
    ...     print(line)
    3 of 4 images in 3 groups (each image its own): mel 1, nv 2
    stored as JPEG RGB (3); 600x450 (3) pixels
    0 pairs of copies, 0 groups merged
    warning: 1 of 4 images can't be used
    checked in 0.5 s, 3 images read by an earlier audit
    """
    labels = ", ".join(f"{label or 'unlabeled'} {count}" for label, count in report["labels"].items())
    stored = "; ".join(
        some((f"{name} ({count})" for name, count in report[key].items()), 4) for key in ("kinds", "sizes")
    )
    merged = sum(len(names) for names in report["merged_groups"].values())
    alone = "" if report["grouped"] else " (each image its own)"
    return [
        f"{report['kept']} of {quantity(report['images'], 'image')} in {quantity(report['groups'], 'group')}{alone}: "
        f"{labels}",
        *([f"stored as {stored} pixels"] if report["kept"] else []),
        f"{quantity(len(report['duplicates']), 'pair of copies')}, {quantity(merged, 'group')} merged",
        *(f"problem: {line}" for line in report["problems"]),
        *(f"warning: {line}" for line in report["warnings"]),
        f"checked in {report['seconds']} s, {quantity(report['remembered'], 'image')} read by an earlier audit",
    ]


def problems(report: AuditReport, n_folds: int) -> list[str]:
    """Return a line with the remedy for each finding that prevents a training."""
    lines = []
    if report["bad_images"] and report["on_bad_image"] == "error":
        lines.append(f"{_bad_images(report)}; fix or remove them, or train without them: data.on_bad_image=drop")
    elif not report["kept"]:
        lines.append(f"no image is left: {_bad_images(report)}; fix the files or check data.root")
    if report["few_groups"]:
        few = some(f"{label} has {count}" for label, count in report["few_groups"].items())
        lines.append(
            f"too few groups of a class for data.n_folds={n_folds}: {few}; "
            "lower data.n_folds, merge classes by data.label_map, leave them out by data.exclude, or add images"
        )
    return lines


def warnings(report: AuditReport) -> list[str]:
    """Return a line for each finding that does not prevent a training."""
    lines = []
    if report["bad_images"] and report["on_bad_image"] == "drop":
        lines.append(f"{_bad_images(report)}; left out")
    if report["not_in_table"]:
        lines.append(
            f"{quantity(len(report['not_in_table']), 'image')} left out, not in the table: "
            f"{some(report['not_in_table'])}"
        )
    if text := describe_changes(report["text_changes"]):
        lines.append(text)
    lines += left_out_warnings(report["masks"], report["other_formats"])
    if report["several_frames"]:
        count, names = len(report["several_frames"]), some(report["several_frames"])
        lines.append(f"{quantity(count, 'image', 'has')} several frames or pages, of which the first is used: {names}")
    if report["merged_groups"]:
        merged = [f"{name} with {other}" for name, others in report["merged_groups"].items() for other in others]
        lines.append(f"duplicates across groups; these groups are merged: {some(merged)}")
    if report["label_conflicts"]:
        pairs = some(f"{_pair(copy)} ({' and '.join(copy['labels'])})" for copy in report["label_conflicts"])
        lines.append(f"{quantity(len(report['label_conflicts']), 'pair of copies', 'has')} different labels: {pairs}")
    if report["pool_duplicates"]:
        lines.append(_pool_copies(report["pool_duplicates"]))
    return lines


def _pool_copies(copies: Sequence[CopyEntry]) -> str:
    of_test = {copy["b"] if copy["labels"][0] else copy["a"]: copy["held_out"] for copy in copies}
    tested = f" ({sum(of_test.values())} of the test)" if any(of_test.values()) else ""
    what = "is a copy" if len(of_test) == 1 else "are copies"
    pairs = some(map(_pair, copies))
    return f"{quantity(len(of_test), 'unlabeled image')}{tested} {what} of labelled ones: {pairs} (all in audit.json)"


def _bad_images(report: AuditReport) -> str:
    by_reason: dict[str, list[str]] = {}
    for image in report["bad_images"]:
        by_reason.setdefault(image["reason"], []).append(image["path"] or image["image_id"])
    named = some(f"{some(names)} ({reason})" for reason, names in by_reason.items())
    return f"{portion(len(report['bad_images']), report['images'], 'image')} can't be used: {named}"


def _pair(copy: CopyEntry) -> str:
    return f"{copy['a']} = {copy['b']}"
