"""The audit of a data set before a training: bad images, copies, groups that are too few."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from skinlab.data.audit.duplicates import clusters
from skinlab.data.audit.fingerprint_cache import duplicates, fingerprints
from skinlab.data.audit.report import VERSION, AuditReport, BadImageEntry, Copies, CopyEntry, Counts, problems, warnings
from skinlab.data.audit.text_changes import ATTRIBUTE
from skinlab.data.readers.listing import find_masks
from skinlab.errors import UserError
from skinlab.text import printable

log = logging.getLogger(__name__)


class AuditFailed(UserError):  # noqa: N818
    """A data set that can't be used for training as it is; `report` is the audit's."""

    def __init__(self, message: str, report: AuditReport) -> None:
        super().__init__(message)
        self.report = report


class AuditResult(NamedTuple):
    """The result of an audit.

    Attributes:
        manifest: without the bad images, groups with copies of one picture merged.
        report: content of `audit.json`.
        digests: (N, 2) of the pixels of each row's image.
        tails: (N,) of the end of its file.
        copies: PAIR records of rows with the same picture.
    """

    manifest: pd.DataFrame
    report: AuditReport
    digests: np.ndarray
    tails: np.ndarray
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
    reasons |= {at: "is a mask by its name" for at, path in enumerate(paths) if path in masks}
    reason = np.full(len(manifest), "has no file on disk", dtype=object)
    reason[on_disk] = [reasons.get(position, "") for position in range(len(paths))]
    bad = reason != ""
    bad_images: list[BadImageEntry] = [
        {"image_id": printable(row.image_id), "path": printable(row.path), "reason": text}
        for row, text in zip(manifest[bad].itertuples(), reason[bad], strict=True)
    ]
    kept = manifest[~bad].reset_index(drop=True)
    records = records[~bad[on_disk]]
    pairs = duplicates(records, cache_dir)
    merged, merged_groups = merge_groups(kept, pairs)
    report: AuditReport = {
        "version": VERSION,
        "images": len(manifest),
        "kept": len(kept),
        "on_bad_image": on_bad_image,
        **_counts(merged, records),
        "bad_images": bad_images,
        "not_in_table": _left_out(manifest, "not_in_table"),
        "masks": _left_out(manifest, "masks"),
        "other_formats": _left_out(manifest, "other_formats"),
        "several_frames": kept.loc[np.char.find(records["kind"], b" frames") >= 0, "image_id"].map(printable).tolist(),
        "text_changes": manifest.attrs.get(ATTRIBUTE, {}),
        **_copies(kept, pairs),
        "merged_groups": merged_groups,
        "few_groups": _few_groups(merged, n_folds),
        "remembered": n_cached,
        "problems": [],
        "warnings": [],
        "seconds": 0.0,
    }
    report["problems"], report["warnings"] = problems(report, n_folds), warnings(report)
    report["seconds"] = round(time.perf_counter() - started, 2)
    for line in report["warnings"]:
        log.warning(line)
    if report["problems"]:
        raise AuditFailed(report["problems"][0], report)
    return AuditResult(merged, report, records["digest"], records["tail"], pairs)


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


def _left_out(manifest: pd.DataFrame, name: str) -> list[str]:
    """Return the files without a row that the reader has listed in the manifest's `attrs`."""
    return [printable(path) for path in manifest.attrs.get(name, [])]


def _counts(manifest: pd.DataFrame, records: np.ndarray) -> Counts:

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


def _copies(manifest: pd.DataFrame, pairs: np.ndarray) -> Copies:
    ids, labels = manifest["image_id"].to_numpy(dtype=object), manifest["label"].to_numpy(dtype=object)
    splits = manifest["split"].to_numpy(dtype=object)
    found: Copies = {"duplicates": [], "label_conflicts": [], "pool_duplicates": []}
    for a, b, similarity, exact, turned in pairs.tolist():
        copy: CopyEntry = {
            "a": printable(ids[a]),
            "b": printable(ids[b]),
            "labels": [str(labels[a]), str(labels[b])],
            "similarity": round(similarity, 3),
            "exact": exact,
            "turned": turned,
            "held_out": "held_out" in (splits[a], splits[b]),
        }
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
