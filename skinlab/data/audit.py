"""The audit of a data set before a training: bad images, copies, groups that are too few."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skinlab.data.duplicates import clusters
from skinlab.data.fingerprint_cache import duplicates, fingerprints
from skinlab.data.images import printable
from skinlab.data.readers.listing import find_masks, left_out_warnings
from skinlab.data.text_changes import ATTRIBUTE, describe_changes
from skinlab.errors import UserError, some

log = logging.getLogger(__name__)

REPORT_VERSION = 1
LEFT_OUT = ("not_in_table", "masks", "other_formats")  # the manifest's attrs: files without a row


class AuditFailed(UserError):  # noqa: N818
    """A data set that can't be used for training as it is; `report` is the audit's."""

    def __init__(self, message: str, report: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.report = report or {}


class AuditResult(NamedTuple):
    """The result of an audit.

    Attributes:
        manifest: without the bad images, groups with copies of one picture merged.
        report: content of `audit.json`.
        digests: (N, 2) of the pixels of each row's image.
        copies: PAIR records of rows with the same picture.
    """

    manifest: pd.DataFrame
    report: dict[str, Any]
    digests: np.ndarray
    copies: np.ndarray


def audit(
    manifest: pd.DataFrame, *, n_folds: int, on_bad_image: str = "error", cache_dir: Path | None, num_workers: int
) -> AuditResult:
    """Read every image once, find those that can't be used, and merge groups with copies of one picture.

    Args:
        manifest: from a reader.
        n_folds: number of folds, each with a group of each class.
        on_bad_image: "error" refuses bad images, "drop" leaves them out with a warning.
        cache_dir: folder of the cache of fingerprints; None for no cache.
        num_workers: processes that read.

    Raises:
        AuditFailed: bad images with "error", none left with "drop", or a class with fewer groups than folds.
    """
    started = time.perf_counter()
    on_disk = np.flatnonzero(manifest["path"] != "")
    paths = manifest["path"].iloc[on_disk].tolist()
    records, reasons, n_cached = fingerprints(paths, cache_dir, num_workers)
    masks = find_masks(paths)
    reasons |= {position: "is a mask by its name" for position, path in enumerate(paths) if path in masks}
    reason = np.full(len(manifest), "has no file on disk", dtype=object)
    reason[on_disk] = ""
    for position, text in reasons.items():
        reason[on_disk[position]] = text
    bad = reason != ""
    bad_images = [
        {"image_id": printable(row.image_id), "path": printable(row.path), "reason": text}
        for row, text in zip(manifest[bad].itertuples(), reason[bad], strict=True)
    ]
    kept = manifest[~bad].reset_index(drop=True)
    records = records[~bad[on_disk]]
    pairs = duplicates(records, cache_dir)
    merged, merged_groups = merge_groups(kept, pairs)
    report = {
        "version": REPORT_VERSION,
        "images": len(manifest),
        "kept": len(kept),
        "on_bad_image": on_bad_image,
        **_counts(merged, records),
        "bad_images": bad_images,
        **{name: [printable(path) for path in manifest.attrs.get(name, [])] for name in LEFT_OUT},
        "several_frames": kept.loc[np.char.find(records["kind"], b" frames") >= 0, "image_id"].map(printable).tolist(),
        "text_changes": manifest.attrs.get(ATTRIBUTE, {}),
        **_copies(kept, pairs),
        "merged_groups": merged_groups,
        "few_groups": _few_groups(merged, n_folds),
        "remembered": n_cached,
    }
    report["problems"] = _problems(report, n_folds)
    report["warnings"] = _warnings(report)
    report["seconds"] = round(time.perf_counter() - started, 2)
    for line in report["warnings"]:
        log.warning(line)
    if report["problems"]:
        raise AuditFailed(report["problems"][0], report)
    return AuditResult(merged, report, records["digest"], pairs)


def merge_groups(manifest: pd.DataFrame, pairs: np.ndarray) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Merge groups with copies of one picture under the alphabetically first of their names.

    Args:
        manifest: with `group`.
        pairs: PAIR records of its rows.

    Returns:
        the manifest with the merged groups; and, for each of them, the names that it replaces.
    """
    codes, index = pd.factorize(manifest["group"], sort=True)
    names = np.asarray(index, dtype=object)
    part = clusters(codes[pairs["a"]], codes[pairs["b"]], len(names))
    _, first = np.unique(part, return_index=True)  # names are sorted, so the first position is the first name
    new_names = names[first[part]]
    merged: dict[str, list[str]] = {}
    for new, old in zip(new_names, names, strict=True):
        if new != old:
            merged.setdefault(printable(new), []).append(printable(old))
    if not merged:
        return manifest, merged
    return manifest.assign(group=pd.Series(new_names[codes], index=manifest.index, dtype=str)), merged


def summary(report: dict[str, Any]) -> list[str]:
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
        f"{report['kept']} of {report['images']} images in {report['groups']} groups{alone}: {labels}",
        *([f"stored as {stored} pixels"] if report["kept"] else []),
        f"{len(report['duplicates'])} pairs of copies, {merged} groups merged",
        *(f"problem: {line}" for line in report["problems"]),
        *(f"warning: {line}" for line in report["warnings"]),
        f"checked in {report['seconds']} s, {report['remembered']} images read by an earlier audit",
    ]


def _counts(manifest: pd.DataFrame, records: np.ndarray) -> dict[str, Any]:
    """Count groups, labels, sources, splits, kinds of file and sizes, each the most frequent first."""

    def by_count(values: pd.Series) -> dict[str, int]:
        return {str(value): int(count) for value, count in values.value_counts().items()}

    sizes = pd.Series(records["width"].astype(str)) + "x" + pd.Series(records["height"].astype(str))
    return {
        "groups": manifest["group"].nunique(),
        "grouped": bool((manifest["group"] != manifest["image_id"]).any()),
        "labels": by_count(manifest["label"]),
        "sources": by_count(manifest["source"]),
        "splits": by_count(manifest["split"]),
        "kinds": by_count(pd.Series(records["kind"]).str.decode("ascii")),
        "sizes": by_count(sizes),
    }


def _copies(manifest: pd.DataFrame, pairs: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """Return all copies, those with different labels, and those of a labelled and an unlabeled image."""
    ids, labels = manifest["image_id"].to_numpy(dtype=object), manifest["label"].to_numpy(dtype=object)
    found: dict[str, list[dict[str, Any]]] = {"duplicates": [], "label_conflicts": [], "pool_duplicates": []}
    for a, b, similarity, exact, turned in pairs.tolist():
        copy = {"a": printable(ids[a]), "b": printable(ids[b]), "labels": [str(labels[a]), str(labels[b])]}
        copy |= {"similarity": round(similarity, 3), "exact": exact, "turned": turned}
        found["duplicates"].append(copy)
        if labels[a] != labels[b]:
            found["label_conflicts" if labels[a] and labels[b] else "pool_duplicates"].append(copy)
    return found


def _few_groups(manifest: pd.DataFrame, n_folds: int) -> dict[str, int]:
    """Return the number of groups of each class with fewer groups than folds; none where the user's split has `val`."""
    if (manifest["split"] == "val").any():
        return {}
    rows = manifest[(manifest["label"] != "") & manifest["split"].isin(["", "train"])]
    groups = rows.drop_duplicates(["label", "group"])["label"].value_counts().sort_index()
    return {str(label): int(count) for label, count in groups.items() if count < n_folds}


def _problems(report: dict[str, Any], n_folds: int) -> list[str]:
    """Return a line with the remedy for each finding that prevents a training."""
    problems = []
    if report["bad_images"] and report["on_bad_image"] == "error":
        problems.append(f"{_bad_images(report)}; fix or remove them, or train without them: data.on_bad_image=drop")
    elif not report["kept"]:
        problems.append(f"no image is left: {_bad_images(report)}; fix the files or check data.root")
    if report["few_groups"]:
        few = some(f"{label} has {count}" for label, count in report["few_groups"].items())
        problems.append(
            f"too few groups of a class for data.n_folds={n_folds}: {few}; "
            "lower data.n_folds, merge classes by data.label_map, or add images"
        )
    return problems


def _warnings(report: dict[str, Any]) -> list[str]:
    """Return a line for each finding that does not prevent a training."""
    lines = []
    if report["bad_images"] and report["on_bad_image"] == "drop":
        lines.append(f"{_bad_images(report)}; left out")
    if report["not_in_table"]:
        lines.append(
            f"{len(report['not_in_table'])} images are not in the table and are left out: "
            f"{some(report['not_in_table'])}"
        )
    if text := describe_changes(report["text_changes"]):
        lines.append(text)
    lines += left_out_warnings(report["masks"], report["other_formats"])
    if report["several_frames"]:
        count, names = len(report["several_frames"]), some(report["several_frames"])
        lines.append(f"{count} images have several frames or pages, of which the first is used: {names}")
    if report["merged_groups"]:
        merged = some(f"{name} with {some(others, 1)}" for name, others in report["merged_groups"].items())
        lines.append(f"duplicates across groups; these groups are merged: {merged}")
    if report["label_conflicts"]:
        pairs = some(f"{_pair(copy)} ({' and '.join(copy['labels'])})" for copy in report["label_conflicts"])
        lines.append(f"{len(report['label_conflicts'])} pairs of copies have different labels: {pairs}")
    if report["pool_duplicates"]:
        pairs = some(map(_pair, report["pool_duplicates"]))
        lines.append(f"{len(report['pool_duplicates'])} unlabeled images are copies of labelled ones: {pairs}")
    return lines


def _bad_images(report: dict[str, Any]) -> str:
    by_reason: dict[str, list[str]] = {}
    for image in report["bad_images"]:
        by_reason.setdefault(image["reason"], []).append(image["path"] or image["image_id"])
    named = some(f"{some(names)} ({reason})" for reason, names in by_reason.items())
    return f"{len(report['bad_images'])} of {report['images']} images can't be used: {named}"


def _pair(copy: dict[str, Any]) -> str:
    return f"{copy['a']} = {copy['b']}"
