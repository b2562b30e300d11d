"""Grouped, stratified splits: a locked test part, then folds; no group is ever cut."""

from __future__ import annotations

import hashlib
import logging

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.errors import UserError, some

log = logging.getLogger(__name__)

SIDES = ("train", "val", "test")
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def assign_folds(
    manifest: pd.DataFrame, *, n_folds: int = 5, test_fraction: float = 0.2, seed: int = 0
) -> pd.DataFrame:
    """Give every labelled row a split and every training row a fold.

    Labelled rows become `test` (fold -1) or `train` (fold 0 to n_folds - 1), unlabeled ones `pool`, except that an
    unlabeled row of a group that lies in `test` or `held_out` is left out (split ""). A split column of the user's own
    is kept as it is: its `train` is dealt into folds, unless it has a `val` too. The result depends on neither the
    order of the rows nor on anything but their ids, labels and groups.

    Args:
        manifest: from a reader, after the audit.
        n_folds: folds of the training part, at least 2.
        test_fraction: share of the labelled rows locked away for the test, 0 for none.
        seed: another seed deals the groups otherwise.

    Raises:
        UserError: a class has too few groups, or the user's own split is incomplete.
    """
    if n_folds < 2:
        raise UserError(f"data.n_folds={n_folds} is too few: use 2 or more")
    if not 0 <= test_fraction < 1:
        raise UserError(f"data.test_fraction={test_fraction} is no share: use 0 (no test part) or more, below 1")
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
            part = _deal(manifest[labelled], np.array([test_fraction, 1 - test_fraction]), seed)
            split[labelled] = np.where(part == 0, "test", "train")
            if absent := sorted(set(manifest["label"][labelled]) - set(manifest["label"][split == "test"])):
                log.warning(
                    "test_fraction=%g leaves no group of class %s for the test part", test_fraction, some(absent)
                )
        manifest["split"] = _leave_out_of_pool(manifest["group"], split)
    if not (manifest["split"] == "val").any():
        train = manifest["split"] == "train"
        _require_groups(manifest[train], n_folds, f"{n_folds} folds of the training part")
        if train.any():
            manifest.loc[train, "fold"] = _deal(manifest[train], np.full(n_folds, 1 / n_folds), seed)
    return manifest


def _own_split(manifest: pd.DataFrame, labelled: pd.Series[bool]) -> pd.Series[str]:
    """Return the user's split, its open unlabeled rows in the pool; refuse one without `train` or with open labels."""
    split = manifest["split"]
    if not (split == "train").any():
        raise UserError(
            f"the split column has {some(sorted(set(split.unique()) - {''}))} and no train: mark the training rows"
        )
    if (open_rows := manifest["image_id"][labelled & (split == "")]).size:
        raise UserError(
            f"{len(open_rows)} labelled rows have no split while others do: {some(open_rows)}; give them one"
        )
    if (unlabeled := manifest["image_id"][split.isin(SIDES) & (manifest["label"] == "")]).size:
        raise UserError(
            f"{len(unlabeled)} rows of {', '.join(SIDES)} have no label: {some(unlabeled)}; mark them as pool"
        )
    return split.mask(split == "", "pool")


def _leave_out_of_pool(groups: pd.Series[str], split: pd.Series[str]) -> pd.Series[str]:
    """Empty the split of pool rows whose group is in the test part: seen in pretraining, they would leak."""
    leaking = (split == "pool") & groups.isin(groups[split.isin(("test", "held_out"))])
    if leaking.any():
        log.warning("%d pool images share a group with test images and are left out of the pool", leaking.sum())
    return split.mask(leaking, "")


def _require_groups(rows: pd.DataFrame, needed: int, parts: str) -> None:
    """Refuse a class with fewer groups than parts to deal them to."""
    groups = rows.drop_duplicates(["label", "group"])["label"].value_counts()
    short = groups[groups < needed].sort_index()
    if len(short):
        counts = some(f"{label} has {count}" for label, count in short.items())
        remedy = "lower data.n_folds or data.test_fraction, merge classes by data.label_map, or add images"
        raise UserError(f"too few groups of a class for {parts}: {counts}, needed are {needed}; {remedy}")


def _deal(rows: pd.DataFrame, shares: Floats, seed: int) -> Ints:
    """Deal the groups of some rows to parts of given shares, each with the classes in like proportion.

    Groups with the same number of images in each class are alike, so that only the number of them for each part is to
    be found (`_fair_counts`); which of them go where is drawn. The largest go first, by the share of its class that
    each image is; what they leave uneven the smaller ones even out.

    Args:
        rows: with `label` and `group`, in the order of their ids.
        shares: (P,) sums to 1.
        seed: of the draw.

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
        counts = _fair_counts(held / totals, content / totals, shares, stop - start)
        part[order[start:stop]] = np.repeat(np.arange(len(shares)), counts)
        held += np.outer(counts, content)
    dealt: Ints = part[group]
    return dealt


def _fair_counts(held: Floats, content: Floats, shares: Floats, n_groups: int) -> Ints:
    """Say how many of some like groups each part gets, so that the classes are spread as the shares ask.

    Minimises the squared distance, over parts and classes, between what a part then holds and its share of what all
    then hold. For real numbers that is a part's share of the groups less its excess so far, none below zero (a
    projection onto the simplex); the fractions left over go to the parts that are owed most.

    Args:
        held: (P, C) what the parts hold, each class as a share of its total.
        content: (C,) one group's content, likewise.
        shares: (P,) wanted.
        n_groups: how many to deal.

    >>> _fair_counts(np.zeros((2, 1)), np.array([0.1]), np.array([0.25, 0.75]), 8)
    array([2, 6])
    >>> _fair_counts(np.array([[0.2], [0.0]]), np.array([0.1]), np.array([0.5, 0.5]), 4)
    array([1, 3])
    """
    excess = (held - np.outer(shares, held.sum(axis=0))) @ content / (content @ content)
    owed = shares * n_groups - excess
    high_first = np.sort(owed)[::-1]
    levels = (np.cumsum(high_first) - n_groups) / np.arange(1, len(owed) + 1)
    owed = np.maximum(owed - levels[np.flatnonzero(high_first > levels)[-1]], 0.0)
    counts: Ints = np.floor(owed + 1e-9).astype(np.int64)
    # Of equal fractions the part that lacks most in all goes first, lest the same one gets each class's odd group.
    total_excess = (held - np.outer(shares, held.sum(axis=0))).sum(axis=1)
    queue = np.lexsort((total_excess, -np.round(owed - counts, 9)))
    counts[queue[: n_groups - counts.sum()]] += 1
    return counts


def select_fold(manifest: pd.DataFrame, fold: int | None = 0) -> pd.DataFrame:
    """Return the manifest with the rows of one fold as `val`.

    A split of the user's own that has `val` already is returned as it is.

    Raises:
        UserError: there is no such fold.
    """
    if (manifest["split"] == "val").any():
        if fold not in (0, None):
            raise UserError(f"data.fold={fold}: the split column has its own val, and so but one fold; use data.fold=0")
        return manifest.copy()
    last = int(manifest["fold"].max())
    if fold is None or not 0 <= fold <= last:
        raise UserError(f"data.fold={fold} is out of range: with data.n_folds={last + 1} use 0 to {last}")
    return manifest.assign(split=manifest["split"].mask(manifest["fold"] == fold, "val"))


def check_groups(manifest: pd.DataFrame) -> None:
    """Refuse a split that cuts a group, whoever made it.

    Raises:
        UserError: a group lies on two sides of train, val and test, or in both the pool and the test part.
    """
    pairs = manifest.loc[manifest["split"] != "", ["group", "split"]].drop_duplicates()
    for sides, names in ((SIDES, "train, val and test"), (("pool", "test"), "pool and test")):
        inside = pairs["group"][pairs["split"].isin(sides)]
        cut = sorted(inside[inside.duplicated()].unique())
        if cut:
            raise UserError(f"{len(cut)} groups lie on two sides of {names}: {some(cut)}; keep each group on one side")


def split_hash(manifest: pd.DataFrame) -> str:
    """Return a SHA-256 of who is where: of image_id, group, split, fold and label, whatever the order of the rows.

    Images held out by others take no part, whether they lie there or not.
    """
    manifest = manifest[manifest["split"] != "held_out"]
    if not manifest["image_id"].is_monotonic_increasing:
        manifest = manifest.sort_values("image_id")
    digest = hashlib.sha256()
    for column in ("image_id", "group", "split", "fold", "label"):
        digest.update("\x1f".join(manifest[column].astype(str).tolist()).encode() + b"\x1e")
    return digest.hexdigest()
