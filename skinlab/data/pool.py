"""The images of pretraining and semi-supervision: none of validation, test or their groups, no copies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.data.audit.duplicates import clusters
from skinlab.errors import UserError, nearest

SOURCES = {"all": ("train", "pool"), "pool": ("pool",), "train": ("train",)}
UNLABELED = "unlabeled"  # all of the pool, those with hidden labels included: for semi-supervision
Bools = npt.NDArray[np.bool_]


def pretraining_rows(manifest: pd.DataFrame, copies: np.ndarray, pool: str = "all") -> Bools:
    """Mark the rows that pretraining may use.

    Left out are validation and test rows, pool rows of their groups (the audit has put copies of one picture into one
    group), and all but one of several pool rows that are copies of each other. The choice `pool` takes pool rows
    outside every fold where there are any, so that the weights serve all folds.

    Args:
        manifest: with the fold chosen.
        copies: PAIR records of its rows.
        pool: `all` (training and pool), `pool`, `train`, or UNLABELED.

    Returns:
        (N,) True for the rows to use.

    Raises:
        UserError: the choice is unknown, or no row is left.
    """
    if pool not in (*SOURCES, UNLABELED):
        raise UserError(f"pool={pool} is unknown{nearest(pool, SOURCES)}: use {', '.join(SOURCES)}")
    split = manifest["split"].to_numpy(dtype=object)
    in_pool = split == "pool"
    wanted = np.isin(split, SOURCES.get(pool, ("pool",))) & ~(in_pool & held_out(manifest))
    if pool == "pool" and (outside := outside_folds(manifest)).any():
        wanted &= outside
    chosen: Bools = wanted & ~later_copies(copies, wanted & in_pool)
    if not chosen.any():
        raise UserError(f"pool={pool}: no such image is left; {_remedy(pool)}")
    return chosen


def _remedy(pool: str) -> str:
    if pool == "train":
        return "for data without labels set pool=all or pool=pool"
    return "use data with unlabeled images, or hide labels by data.label_budget below 1"


def outside_folds(manifest: pd.DataFrame) -> Bools:
    """Mark the pool rows that are in no fold, as those with hidden labels are, nor of the group of a labelled row."""
    in_pool = manifest["split"] == "pool"
    labelled = manifest["group"][manifest["split"].isin(["train", "val", "test"])]
    return np.asarray(in_pool & (manifest["fold"] < 0) & ~manifest["group"].isin(labelled), dtype=np.bool_)


def held_out(manifest: pd.DataFrame) -> Bools:
    """Mark the rows of groups in the validation or test part."""
    groups = manifest["group"][manifest["split"].isin(["val", "test"])]
    return np.asarray(manifest["group"].isin(groups), dtype=np.bool_)


def later_copies(copies: np.ndarray, among: Bools) -> Bools:
    """Mark all but the first of each cluster of copies.

    Args:
        copies: PAIR records.
        among: (N,) the rows that count.

    >>> copies = np.array([(0, 2), (2, 3), (1, 4)], dtype=[("a", int), ("b", int)])
    >>> later_copies(copies, np.array([True, True, True, True, False])).tolist()
    [False, False, True, True, False]
    """
    inside = copies[among[copies["a"]] & among[copies["b"]]]
    later = np.ones(len(among), np.bool_)
    later[np.unique(clusters(inside["a"], inside["b"], len(among)), return_index=True)[1]] = False
    return later


def pool_report(manifest: pd.DataFrame, copies: np.ndarray) -> dict[str, int]:
    """Count the pool's images, and those that pretraining leaves out: of held-out groups, and copies."""
    in_pool = np.asarray(manifest["split"] == "pool", dtype=np.bool_)
    free = in_pool & ~held_out(manifest)
    return {
        "images": int(in_pool.sum()),
        "held_out_groups": int((in_pool & ~free).sum()),
        "copies": int(later_copies(copies, free).sum()),
    }
