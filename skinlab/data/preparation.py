"""From a reader to rows that may be trained on: relabelled, audited, split; without torch, so that it is quick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skinlab.data.answers import add_labels, check_answers, check_excluded, exclude_images
from skinlab.data.audit import Audited, examine
from skinlab.data.budget import apply_budget, check_budget
from skinlab.data.fingerprint import ImageHashes
from skinlab.data.manifest import class_names, relabel
from skinlab.data.pool import pool_report
from skinlab.data.splits import assign_folds, check_groups, select_fold, split_hash
from skinlab.data.text_changes import ATTRIBUTE
from skinlab.errors import UserError
from skinlab.text import clean

# The settings of `prepare` that a config's ``data`` group holds.
PREPARATION = (
    *("label_map", "classes", "fold", "n_folds", "test_fraction", "split_seed", "on_bad_image"),
    *("label_budget", "budget_seed", "labels", "exclude"),
)


@dataclass(frozen=True)
class Prepared:
    """A manifest ready for training.

    Attributes:
        manifest: with split and fold filled.
        classes: class names in the order of the logits.
        audit: the audit's report, JSON-able.
        split_hash: what two runs on the same split share.
        image_hashes: image id → content hash, by which runs on different data know each other's images.
        copies: PAIR records of the manifest's rows that show the same picture.
    """

    manifest: pd.DataFrame
    classes: list[str]
    audit: dict[str, Any]
    split_hash: str
    image_hashes: Mapping[str, str]
    copies: np.ndarray


def prepare(
    reader: Callable[[], pd.DataFrame],
    *,
    label_map: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    fold: int | None = 0,
    n_folds: int = 5,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    on_bad_image: str = "error",
    label_budget: float = 1.0,
    budget_seed: int = 0,
    labels: str | Path | None = None,
    exclude: str | Path | None = None,
    unlabeled_ok: bool = False,
    audit_cache: str | Path | None = None,
    num_workers: int = 2,
) -> Prepared:
    """Read, relabel, audit and split.

    Args:
        reader: returns the manifest.
        label_map: old class name → new one, to merge classes.
        classes: the expected classes in the order wanted; the last of two is the positive one. Sorted if left out.
        fold: which fold is for validation.
        n_folds: folds of the part that isn't locked away for the test.
        test_fraction: share of the rows locked away.
        split_seed: decides who falls where; kept apart from the run's seed, so that seeds share a split.
        on_bad_image: ``error`` or ``drop``.
        label_budget: how much of the training part keeps its labels, see :func:`skinlab.data.budget.apply_budget`.
        budget_seed: decides which part; kept apart from the run's seed as `split_seed` is.
        labels: CSV of labels for pool images, see :func:`skinlab.data.answers.add_labels`.
        exclude: CSV of images to leave out.
        unlabeled_ok: whether data without classes is welcome, as for a pretraining.
        audit_cache: directory that remembers what the audit read, or None.
        num_workers: processes that read images.

    Raises:
        UserError: whatever has to be corrected before training.
    """
    manifest = relabel(reader(), label_map, classes)
    if not manifest["image_id"].is_monotonic_increasing:  # so that the split keeps the rows where the audit saw them
        manifest = manifest.sort_values("image_id", ignore_index=True)
    names = _names(manifest, classes, unlabeled_ok)
    _check_early(manifest, names, label_map, label_budget, labels, exclude)
    cache_dir = None if audit_cache is None else Path(audit_cache)
    audited = examine(
        manifest, n_folds=n_folds, on_bad_image=on_bad_image, cache_dir=cache_dir, num_workers=num_workers
    )
    names = _names(audited.manifest, classes, unlabeled_ok)
    manifest = assign_folds(audited.manifest, n_folds=n_folds, test_fraction=test_fraction, seed=split_seed)
    if not unlabeled_ok or (manifest["split"] == "train").any():
        manifest = select_fold(manifest, fold)
    if exclude is not None:
        manifest = exclude_images(manifest, exclude)
    manifest = apply_budget(manifest, label_budget, budget_seed)
    if labels is not None:
        manifest = add_labels(manifest, labels, names, label_map)
    check_groups(manifest)
    return _prepared(manifest, names, audited)


def _check_early(
    manifest: pd.DataFrame,
    names: Sequence[str],
    label_map: Mapping[str, str] | None,
    label_budget: float,
    labels: str | Path | None,
    exclude: str | Path | None,
) -> None:
    """Refuse what the manifest alone shows to be wrong, before minutes are spent on reading the images.

    What cleaning the labels of `labels` changed joins the manifest's `attrs`, for the audit.
    """
    check_budget(manifest, label_budget)
    if exclude is not None:
        check_excluded(manifest, exclude)
    if labels is not None:
        changes = check_answers(manifest, labels, names, label_map, hides=label_budget != 1)
        manifest.attrs[ATTRIBUTE] = manifest.attrs.get(ATTRIBUTE, {}) | changes


def _prepared(manifest: pd.DataFrame, names: list[str], audited: Audited) -> Prepared:
    """Put together what a training needs to know; where there is a pool, the report counts it."""
    report = audited.report
    if (manifest["split"] == "pool").any():
        report = report | {"pool": pool_report(manifest, audited.copies)}
    hashes = ImageHashes(manifest["image_id"], audited.digests)
    return Prepared(manifest, names, report, split_hash(manifest), hashes, audited.copies)


def _names(manifest: pd.DataFrame, classes: Sequence[str] | None, unlabeled_ok: bool) -> list[str]:
    """Return the names of the classes; refuse fewer than two where they are needed."""
    names = [clean(str(name)) for name in classes or class_names(manifest)]
    if len(names) < 2 and not unlabeled_ok:
        hint = "" if names else "; without labels it serves skinlab.pretrain only"
        raise UserError(
            f"the data has {len(names)} class(es) with labels {names}; a classifier needs two or more{hint}"
        )
    return names
