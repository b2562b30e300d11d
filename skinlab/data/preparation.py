"""From a reader to a manifest for training: relabelled, audited and split, without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from skinlab.data.audit.checks import AuditResult, audit
from skinlab.data.audit.fingerprint import ImageHashes
from skinlab.data.audit.report import AuditReport, SplitAuditReport, SplitCounts
from skinlab.data.audit.text_changes import ATTRIBUTE
from skinlab.data.budget import apply_budget, check_budget
from skinlab.data.expert_labels import add_labels, check_excluded, check_labels, exclude_images
from skinlab.data.manifest import class_names, relabel
from skinlab.data.pool import pool_report
from skinlab.data.pseudo_labels import check_pseudo_labels, read_pseudo_labels
from skinlab.data.splits import assign_folds, check_groups, check_sources, select_fold, source_report, split_hash
from skinlab.errors import UserError
from skinlab.tables.positive import known_positive, positive_class
from skinlab.text import clean

# The settings of `prepare` that a config's ``data`` group holds.
PREPARATION = (
    *("label_map", "classes", "positive", "fold", "n_folds", "test_fraction", "split_seed", "split", "on_bad_image"),
    *("label_budget", "budget_seed", "labels", "exclude"),
)


@dataclass(frozen=True)
class Prepared:
    """A manifest ready for training.

    Attributes:
        manifest: with split and fold filled.
        classes: class names in the order of the logits.
        audit: the audit's report, content of `audit.json`.
        split_hash: the same for two runs on the same split.
        image_hashes: image id → content hash, which identifies an image across data sets.
        file_tails: image id → hash of its file's end, by which a known file is found without decoding others.
        copies: PAIR records of the manifest's rows with the same picture.
        positive: the positive one of two classes; None for more classes, and for a pretraining that needs none.
    """

    manifest: pd.DataFrame
    classes: list[str]
    audit: AuditReport
    split_hash: str
    image_hashes: Mapping[str, str]
    file_tails: Mapping[str, str]
    copies: np.ndarray
    positive: str | None = None


def prepare(
    reader: Callable[[], pd.DataFrame],
    *,
    label_map: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    positive: Sequence[str] | None = None,
    fold: int | None = 0,
    n_folds: int = 5,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    split: str = "random",
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
        classes: the expected classes in order, the positive one of two last; by default sorted, the positive one last.
        positive: the positive one of two classes, where it follows neither from their names nor from `classes`.
        fold: the fold of the validation part.
        n_folds: folds of the part outside the test part.
        test_fraction: share of the rows in the test part.
        split_seed: of the split; not the run's seed, so that runs with different seeds have the same split.
        split: ``random``, or ``source``: each fold is a source.
        on_bad_image: ``error`` or ``drop``.
        label_budget: how much of the training part keeps its labels, see :func:`skinlab.data.budget.apply_budget`.
        budget_seed: of the choice of this part; not the run's seed, as `split_seed`.
        labels: CSV of labels for pool images, see :func:`skinlab.data.expert_labels.add_labels`.
        exclude: CSV of images to leave out.
        unlabeled_ok: whether data without classes are accepted, as for a pretraining.
        audit_cache: folder of the audit's cache; None for no cache.
        num_workers: processes that read images.

    Raises:
        UserError: a setting or the data has to be corrected before training.
    """
    manifest = _by_id(relabel(reader(), label_map, classes))
    names, _ = _names(manifest, classes, positive, unlabeled_ok)
    _check_early(manifest, names, label_map, label_budget, labels, exclude, n_folds if split == "source" else None)
    cache_dir = None if audit_cache is None else Path(audit_cache)
    needed = n_folds if split == "random" else 1
    audited = audit(manifest, n_folds=needed, on_bad_image=on_bad_image, cache_dir=cache_dir, num_workers=num_workers)
    names, found = _names(audited.manifest, classes, positive, unlabeled_ok)
    manifest = assign_folds(audited.manifest, n_folds=n_folds, test_fraction=test_fraction, seed=split_seed, by=split)
    if not unlabeled_ok or (manifest["split"] == "train").any():
        manifest = select_fold(manifest, fold)
    manifest = _with_labels(manifest, names, label_map, label_budget, budget_seed, labels, exclude)
    prepared = replace(_prepared(manifest, names, audited, split), positive=found)
    check_pseudo_labels(labels, manifest, prepared.image_hashes)
    return prepared


def read_audited(
    reader: Callable[[], pd.DataFrame],
    *,
    label_map: Mapping[str, str] | None = None,
    on_bad_image: str = "error",
    audit_cache: str | Path | None = None,
    num_workers: int = 2,
) -> AuditResult:
    """Read, relabel and audit images that are not split; args as of :func:`prepare`.

    Raises:
        UserError: the data has to be corrected.
    """
    cache_dir = None if audit_cache is None else Path(audit_cache)
    manifest = _by_id(relabel(reader(), label_map, None))
    return audit(manifest, n_folds=1, on_bad_image=on_bad_image, cache_dir=cache_dir, num_workers=num_workers)


def read_class_names(
    reader: Callable[[], pd.DataFrame], classes: Sequence[str] | None, label_map: Mapping[str, str] | None
) -> list[str]:
    """Return the names of the classes in a manifest, in no certain order, without reading an image.

    Args:
        reader: returns the manifest.
        classes: see :func:`prepare`.
        label_map: see :func:`prepare`.
    """
    return [clean(str(name)) for name in classes or class_names(relabel(reader(), label_map, None))]


def _by_id(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in the order of their ids, in which the split keeps them, so that positions stay valid."""
    in_order = manifest["image_id"].is_monotonic_increasing
    return manifest if in_order else manifest.sort_values("image_id", ignore_index=True)


def _check_early(
    manifest: pd.DataFrame,
    names: Sequence[str],
    label_map: Mapping[str, str] | None,
    label_budget: float,
    labels: str | Path | None,
    exclude: str | Path | None,
    n_sources: int | None,
) -> None:
    """Refuse mistakes that the manifest alone shows; add the text changes of `labels` to its `attrs`."""
    if n_sources is not None:
        check_sources(manifest, n_sources)
    check_budget(manifest, label_budget)
    if exclude is not None:
        check_excluded(manifest, exclude)
    if labels is not None:
        read_pseudo_labels(labels)
        changes = check_labels(manifest, labels, names, label_map, hides=label_budget != 1)
        manifest.attrs[ATTRIBUTE] = manifest.attrs.get(ATTRIBUTE, {}) | changes


def _with_labels(
    manifest: pd.DataFrame,
    names: Sequence[str],
    label_map: Mapping[str, str] | None,
    label_budget: float,
    budget_seed: int,
    labels: str | Path | None,
    exclude: str | Path | None,
) -> pd.DataFrame:
    """Return the split manifest without the excluded images, with the labels of the budget and the expert's."""
    if exclude is not None:
        manifest = exclude_images(manifest, exclude)
    manifest = apply_budget(manifest, label_budget, budget_seed)
    if labels is not None:
        manifest = add_labels(manifest, labels, names, label_map)
    check_groups(manifest)
    return manifest


def _prepared(manifest: pd.DataFrame, names: list[str], audited: AuditResult, split: str) -> Prepared:
    """Return the prepared data, with the counts of the pool and of folds by source in the report, where there are."""
    counts: SplitCounts = {}
    if (manifest["split"] == "pool").any():
        counts["pool"] = pool_report(manifest, audited.copies)
    if split == "source":
        counts["source_split"] = source_report(manifest)
    report: SplitAuditReport = {**audited.report, **counts}
    hashes, tails = (ImageHashes(manifest["image_id"], each) for each in (audited.digests, audited.tails))
    return Prepared(manifest, names, report, split_hash(manifest), hashes, tails, audited.copies)


def _names(
    manifest: pd.DataFrame, classes: Sequence[str] | None, positive: Sequence[str] | None, unlabeled_ok: bool
) -> tuple[list[str], str | None]:
    """Return the names of the classes and the positive one of two; a classifier needs two or more."""
    names = [clean(str(name)) for name in classes or class_names(manifest)]
    if len(names) < 2 and not unlabeled_ok:
        hint = "" if names else "; without labels use skinlab.pretrain"
        raise UserError(
            f"the data has {len(names)} class(es) with labels {names}; a classifier needs two or more{hint}"
        )
    if len(names) != 2 or (unlabeled_ok and not positive and known_positive(names) is None):
        return names, None
    if classes and not positive:
        if known_positive(names) == names[0] and not unlabeled_ok:
            raise UserError(
                f"data.classes=[{','.join(names)}]: the last of two classes is the positive one, and by its name "
                f"{names[0]} is: write 'data.classes=[{names[1]},{names[0]}]', or name it: data.positive={names[0]}"
            )
        return names, names[-1]
    found = positive_class(names, positive, "data.positive")
    return names if classes else [*(name for name in names if name != found), found], found
