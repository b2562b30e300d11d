"""From a reader to rows that may be trained on: relabelled, audited, split; without torch, so that it is quick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from skinlab.data.audit import audit
from skinlab.data.manifest import class_names, relabel
from skinlab.data.splits import assign_folds, check_groups, select_fold, split_hash
from skinlab.errors import UserError

# The settings of `prepare` that a config's ``data`` group holds.
PREPARATION = ("label_map", "classes", "fold", "n_folds", "test_fraction", "split_seed", "on_bad_image")


@dataclass(frozen=True)
class Prepared:
    """A manifest ready for training.

    Attributes:
        manifest: with split and fold filled.
        classes: class names in the order of the logits.
        audit: the audit's report, JSON-able.
        split_hash: what two runs on the same split share.
    """

    manifest: pd.DataFrame
    classes: list[str]
    audit: dict[str, Any]
    split_hash: str


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
        audit_cache: directory that remembers what the audit read, or None.
        num_workers: processes that read images.

    Raises:
        UserError: whatever a person must mend before training.
    """
    manifest = relabel(reader(), label_map, classes)
    manifest, report = audit(
        manifest,
        n_folds=n_folds,
        on_bad_image=on_bad_image,
        cache_dir=None if audit_cache is None else Path(audit_cache),
        num_workers=num_workers,
    )
    manifest = assign_folds(manifest, n_folds=n_folds, test_fraction=test_fraction, seed=split_seed)
    manifest = select_fold(manifest, fold)
    check_groups(manifest)
    names = list(classes or class_names(manifest))
    if len(names) < 2:
        raise UserError(f"the data has {len(names)} class(es) with labels {names}; a classifier needs two or more")
    return Prepared(manifest, names, report, split_hash(manifest))
