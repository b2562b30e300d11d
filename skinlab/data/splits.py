"""Grouped, stratified splits: a test part, then folds; all images of a group are in one part."""

from __future__ import annotations

import hashlib
import logging

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.data.audit.report import SourceReport
from skinlab.errors import UserError, some
from skinlab.text import quantity

log = logging.getLogger(__name__)

SIDES = ("train", "val", "test")
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def assign_folds(
    manifest: pd.DataFrame, *, n_folds: int = 5, test_fraction: float = 0.2, seed: int = 0, by: str = "random"
) -> pd.DataFrame:
    """Assign a split to every labelled row and a fold to every training row.

    Labelled rows become `test` (fold -1) or `train` (fold 0 to n_folds - 1), unlabeled ones `pool`, except that an
    unlabeled row of a group in `test` or `held_out` is left out (split ""). A split column of the user's own is kept:
    its `train` is divided into folds, unless it has a `val`. The result depends on the rows' ids, labels and groups
    alone, not on their order.

    Args:
        manifest: from a reader, after the audit.
        n_folds: folds of the training part, at least 2.
        test_fraction: share of the labelled rows in the test part, 0 for none.
        seed: of the random assignment.
        by: ``random``, or ``source``: each fold is a source, in the order of their names. The test part is the same.

    Raises:
        UserError: a class has too few groups, the user's own split is incomplete, or the sources are no folds.
    """
    if not manifest["image_id"].is_monotonic_increasing:
        manifest = manifest.sort_values("image_id", ignore_index=True)
    manifest = manifest.assign(fold=np.int64(-1))
    labelled = (manifest["label"] != "") & (manifest["split"] != "pool")
    if manifest["split"].isin(SIDES).any():
        manifest["split"] = _leave_out_of_pool(manifest["group"], _own_split(manifest, labelled))
    else:
        if test_fraction > 0:
            _require_groups(manifest[labelled], n_folds + 1, f"{n_folds} folds and a test part")
        split = pd.Series("pool", index=manifest.index, dtype=str).mask(labelled, "train")
        split = split.mask(manifest["split"] == "held_out", "held_out")
        if test_fraction > 0 and labelled.any():
            part = _assign_groups(manifest[labelled], np.array([test_fraction, 1 - test_fraction]), seed)
            split[labelled] = np.where(part == 0, "test", "train")
            if absent := sorted(set(manifest["label"][labelled]) - set(manifest["label"][split == "test"])):
                log.warning(
                    "data.test_fraction=%g leaves no group of class %s for the test part", test_fraction, some(absent)
                )
        manifest["split"] = _leave_out_of_pool(manifest["group"], split)
    if not (manifest["split"] == "val").any():
        train = manifest["split"] == "train"
        if by == "source":
            manifest.loc[train, "fold"] = source_folds(manifest[train], n_folds)
            return manifest
        _require_groups(manifest[train], n_folds, f"{n_folds} folds of the training part")
        if train.any():
            manifest.loc[train, "fold"] = _assign_groups(manifest[train], np.full(n_folds, 1 / n_folds), seed)
    return manifest


def main_sources(rows: pd.DataFrame) -> pd.Series[str]:
    """Return the source of most images of each row's group, of equally many the first by name."""
    counts = rows.groupby(["group", "source"]).size().reset_index(name="n")
    first = counts.sort_values(["n", "source"], ascending=[False, True]).drop_duplicates("group")
    found: pd.Series[str] = rows["group"].map(first.set_index("group")["source"])
    return found


def source_folds(rows: pd.DataFrame, n_folds: int) -> Ints:
    """Return the fold of each training row: the number of its group's main source, in the order of their names.

    Raises:
        UserError: images without a source, another number of sources than of folds, or a class of one source alone.
    """
    if missing := int((rows["source"] == "").sum()):
        raise UserError(
            f"data.split=source: {quantity(missing, 'labelled image', 'has')} no source; add the column source to the "
            "table (of HAM10000 the Dataverse's HAM10000_metadata has it), or use data.split=random"
        )
    main = main_sources(rows)
    fold, names = pd.factorize(main, sort=True)
    if len(names) != n_folds or n_folds < 2:
        remedy = f"set data.n_folds={len(names)}" if len(names) > 1 else "use data.split=random"
        raise UserError(f"data.split=source: there are {quantity(len(names), 'source')} ({', '.join(names)}); {remedy}")
    sources = main.groupby(rows["label"]).unique()
    if alone := [f"{label} is of {found[0]} alone" for label, found in sources.items() if len(found) == 1]:
        raise UserError(
            f"data.split=source: {some(alone)}, so that a training without it has no such image; merge classes by "
            "data.label_map, or use data.split=random"
        )
    return np.asarray(fold, np.int64)


def check_sources(manifest: pd.DataFrame, n_folds: int) -> None:
    """Refuse a split by source that a manifest can't have, before its images are read.

    Raises:
        UserError: see :func:`source_folds`, or the user's own split has a validation part.
    """
    if (manifest["split"] == "val").any():
        raise UserError("data.split=source: the split column has a val part already; use data.split=random")
    source_folds(manifest[(manifest["label"] != "") & manifest["split"].isin(("", "train"))], n_folds)


def source_report(manifest: pd.DataFrame) -> SourceReport:
    """Return the fold that holds each source out, and how many training groups span sources."""
    rows = manifest[manifest["fold"] >= 0]
    main = main_sources(rows)
    folds = rows["fold"].groupby(main).first().sort_values()
    return {
        "folds": {str(name): int(fold) for name, fold in folds.items()},
        "groups_across_sources": int((rows.groupby("group")["source"].nunique() > 1).sum()),
        "images_in_folds_of_other_sources": int((rows["source"] != main).sum()),
    }


def _own_split(manifest: pd.DataFrame, labelled: pd.Series[bool]) -> pd.Series[str]:
    """Return the user's split, with unlabeled rows without a split in the pool; refuse one with gaps."""
    split = manifest["split"]
    if not (split == "train").any():
        raise UserError(
            f"the split column has {some(sorted(set(split.unique()) - {''}))} and no train: mark the training rows"
        )
    if (open_rows := manifest["image_id"][labelled & (split == "")]).size:
        raise UserError(
            f"{quantity(len(open_rows), 'labelled image', 'has')} no split while others do: {some(open_rows)}; "
            "give them one"
        )
    if (unlabeled := manifest["image_id"][split.isin(SIDES) & (manifest["label"] == "")]).size:
        raise UserError(
            f"{quantity(len(unlabeled), 'image')} of {', '.join(SIDES)} without a label: {some(unlabeled)}; "
            "mark them as pool"
        )
    return split.mask(split == "", "pool")


def _leave_out_of_pool(groups: pd.Series[str], split: pd.Series[str]) -> pd.Series[str]:
    """Set the split of pool rows of groups in the test part to "": pretraining on them would be leakage."""
    leaking = (split == "pool") & groups.isin(groups[split.isin(("test", "held_out"))])
    if leaking.any():
        log.warning("%d pool images share a group with test images and are left out of the pool", leaking.sum())
    return split.mask(leaking, "")


def _require_groups(rows: pd.DataFrame, needed: int, parts: str) -> None:
    """Refuse a class with fewer groups than parts."""
    groups = rows.drop_duplicates(["label", "group"])["label"].value_counts()
    short = groups[groups < needed].sort_index()
    if len(short):
        counts = some(f"{label} has {count}" for label, count in short.items())
        remedy = (
            "lower data.n_folds or data.test_fraction, merge classes by data.label_map, leave them out by data.exclude"
            ", or add images"
        )
        raise UserError(f"too few groups of a class for {parts}: {counts}, needed are {needed}; {remedy}")


def _assign_groups(rows: pd.DataFrame, shares: Floats, seed: int) -> Ints:
    """Assign whole groups to parts of given shares, with the same class proportions in each part.

    Groups with the same number of images of each class are interchangeable: `_group_counts` returns how many of them
    each part gets, and which ones is random. The largest are assigned first, by the sum of the class shares of their
    images, so that the smaller ones compensate for imbalances. `skinlab.evaluation.statistics.folds.group_folds`
    differs: its folds have equally many groups, whatever their shares, and a group counts for one class alone.

    Args:
        rows: with `label` and `group`, in the order of their ids.
        shares: (P,) sums to 1.
        seed: of the random choice.

    Returns:
        (rows,) the part of every row.
    """
    group, _ = pd.factorize(rows["group"])
    label, classes = pd.factorize(rows["label"], sort=True)
    n_groups, n_classes = group.max() + 1, len(classes)
    contents = np.bincount(group * n_classes + label, minlength=n_groups * n_classes).reshape(n_groups, n_classes)
    kind = pd.DataFrame(contents).groupby(list(range(n_classes))).ngroup().to_numpy()
    totals = contents.sum(axis=0)
    size = np.square(contents / totals).sum(axis=1)
    order = np.lexsort((np.random.default_rng(seed).permutation(n_groups), kind, -size))
    starts = np.flatnonzero(np.diff(kind[order], prepend=-1))
    stops = np.append(starts[1:], n_groups)

    held = np.zeros((len(shares), n_classes))
    part = np.empty(n_groups, dtype=np.int64)
    for start, stop in zip(starts, stops, strict=True):
        content = contents[order[start]]
        counts = _group_counts(held / totals, content / totals, shares, stop - start)
        part[order[start:stop]] = np.repeat(np.arange(len(shares)), counts)
        held += np.outer(counts, content)
    assigned: Ints = part[group]
    return assigned


def _group_counts(held: Floats, content: Floats, shares: Floats, n_groups: int) -> Ints:
    """Return how many of some interchangeable groups each part gets, for class proportions close to the shares.

    Minimises the squared distance, over parts and classes, between the content of a part and its share of the content
    of all parts. For real numbers this is a part's share of the groups less its excess so far, not below zero (a
    projection onto the simplex); remaining groups go to the parts with the largest fractions. `held` (P, C) and
    `content` (C,) of one group are shares of the class's total.

    >>> _group_counts(np.zeros((2, 1)), np.array([0.1]), np.array([0.25, 0.75]), 8)
    array([2, 6])
    >>> _group_counts(np.array([[0.2], [0.0]]), np.array([0.1]), np.array([0.5, 0.5]), 4)
    array([1, 3])
    """
    excess = (held - np.outer(shares, held.sum(axis=0))) @ content / (content @ content)
    owed = shares * n_groups - excess
    high_first = np.sort(owed)[::-1]
    levels = (np.cumsum(high_first) - n_groups) / np.arange(1, len(owed) + 1)
    owed = np.maximum(owed - levels[np.flatnonzero(high_first > levels)[-1]], 0.0)
    counts: Ints = np.floor(owed + 1e-9).astype(np.int64)
    # Of equal fractions the part that lacks most in total is first, so that not one part gets each class's odd group.
    total_excess = (held - np.outer(shares, held.sum(axis=0))).sum(axis=1)
    queue = np.lexsort((total_excess, -np.round(owed - counts, 9)))
    counts[queue[: n_groups - counts.sum()]] += 1
    return counts


def select_fold(manifest: pd.DataFrame, fold: int | None = 0) -> pd.DataFrame:
    """Return the manifest with the rows of one fold as `val`.

    A split of the user's own that has `val` already is returned as it is.

    Raises:
        UserError: the fold is out of range.
    """
    if (manifest["split"] == "val").any():
        if fold not in (0, None):
            raise UserError(
                f"data.fold={fold}: the split column has a val part, so that there is one fold only; use data.fold=0"
            )
        return manifest.copy()
    last = int(manifest["fold"].max())
    if fold is None or not 0 <= fold <= last:
        raise UserError(f"data.fold={fold} is out of range: with data.n_folds={last + 1} use 0 to {last}")
    return manifest.assign(split=manifest["split"].mask(manifest["fold"] == fold, "val"))


def check_groups(manifest: pd.DataFrame) -> None:
    """Refuse a split with a group in two parts, also one of the user's own.

    Raises:
        UserError: a group is in two of train, val and test, or in both the pool and the test part.
    """
    pairs = manifest.loc[manifest["split"] != "", ["group", "split"]].drop_duplicates()
    for sides, names in ((SIDES, "train, val and test"), (("pool", "test"), "pool and test")):
        inside = pairs["group"][pairs["split"].isin(sides)]
        divided = sorted(inside[inside.duplicated()].unique())
        if divided:
            raise UserError(
                f"{quantity(len(divided), 'group', 'is')} in two parts of {names}: {some(divided)}; "
                "keep each group in one part"
            )


def split_hash(manifest: pd.DataFrame) -> str:
    """Return a SHA-256 of image_id, group, split, fold and label of all rows, independent of their order.

    Images of `held_out`, a challenge's test part, do not count.
    """
    manifest = manifest[manifest["split"] != "held_out"]
    if not manifest["image_id"].is_monotonic_increasing:
        manifest = manifest.sort_values("image_id")
    digest = hashlib.sha256()
    for column in ("image_id", "group", "split", "fold", "label"):
        digest.update("\x1f".join(manifest[column].astype(str).tolist()).encode() + b"\x1e")
    return digest.hexdigest()
