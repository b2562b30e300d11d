"""Label budgets: hide the labels of part of the training images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.errors import UserError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def apply_budget(manifest: pd.DataFrame, budget: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Keep the labels of part of the training rows; the others become pool rows, their labels move to `hidden_label`.

    They keep their fold: with another fold as validation part they are validation rows with their labels.

    Labels are kept or hidden for whole groups, in the same proportion of each class and for at least one group of each.
    For one seed the groups have one order, of which a budget keeps the first ones: a smaller budget is a subset of a
    larger one.

    Args:
        manifest: with the fold chosen; rows that are not `train` stay as they are.
        budget: 1 keeps every label; a share in (0, 1) of each class's training groups; or a whole number above 1, the
            most training images.
        seed: of the choice of groups; not the run's, so that runs with different seeds have the same labels.

    Returns:
        the manifest, with a column `hidden_label` ("" where no label is hidden) unless the budget is 1.

    Raises:
        UserError: the budget is out of range.
    """
    _check_range(budget)
    if budget == 1:
        return manifest
    train = manifest["split"] == "train"
    ranks = _ranks(manifest[train], seed)
    size = np.asarray(ranks["group"].map(manifest.loc[train, "group"].value_counts()), dtype=np.int64)
    rank = ranks["rank"].to_numpy(np.float64)
    kept = rank < budget if budget < 1 else _affordable(rank, size, int(budget))
    hidden = train & ~manifest["group"].isin(ranks["group"][kept])
    return manifest.assign(
        split=manifest["split"].mask(hidden, "pool"),
        label=manifest["label"].mask(hidden, ""),
        hidden_label=manifest["label"].where(hidden, ""),
    )


def check_budget(manifest: pd.DataFrame, budget: float) -> None:
    """Refuse a budget that no split of these rows can have, before the images are read.

    Args:
        manifest: from a reader, relabelled.
        budget: see :func:`apply_budget`.

    Raises:
        UserError: it is out of range for any split.
    """
    _check_range(budget)
    labels = manifest["label"][(manifest["label"] != "") & manifest["split"].isin(["", "train"])]
    if 1 < budget > len(labels):
        raise UserError(
            f"data.label_budget={budget}: the training part has at most {len(labels)} labelled images; "
            "use a smaller number, or 1.0 for all of them"
        )
    if 1 < budget < labels.nunique():
        raise UserError(
            f"data.label_budget={budget} is too small: each of the {labels.nunique()} classes needs an image; "
            "use that many or more"
        )


def _check_range(budget: float) -> None:
    if not budget > 0 or (budget > 1 and budget % 1 != 0):  # also of a study's recipe, which no setting has checked
        raise UserError(
            f"data.label_budget={budget} is no budget: use a share in (0, 1] of the training groups, "
            "or a whole number of training images above 1"
        )


def _ranks(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the groups with their `rank`, sorted, so that the first n have the same class proportions for any n.

    The rank is 0 for the first group of a class, else the share of its groups before it. Within a class the order is by
    a hash of the name, which other groups do not change; a group of several classes counts for the rarest of them.
    """
    pairs = rows.drop_duplicates(["label", "group"])[["label", "group"]]
    drawn = pd.util.hash_array(pairs["group"].to_numpy(dtype=object), hash_key=f"{seed % 10**16:016d}")
    pairs = pairs.assign(drawn=drawn, count=pairs["label"].map(rows["label"].value_counts()))
    pairs = pairs.sort_values(["drawn", "group", "count", "label"])
    first = pairs.drop_duplicates("label")["group"]
    groups = pairs.drop_duplicates("group")
    within = groups.groupby("label")["group"]
    rank = (within.cumcount() + 0.5) / within.transform("size")
    ranked = groups[["group"]].assign(rank=rank.mask(groups["group"].isin(first), 0.0))
    return ranked.sort_values("rank", kind="stable", ignore_index=True)


def _affordable(rank: Floats, size: Ints, budget: int) -> npt.NDArray[np.bool_]:
    """Mark the first groups, as many as have no more images than the budget together."""
    total, minimum = int(size.sum()), int(size[rank == 0].sum())
    if budget > total:
        raise UserError(
            f"data.label_budget={budget}: the training part has {total} labelled images; "
            "use a smaller number, or 1.0 for all of them"
        )
    if budget < minimum:
        raise UserError(
            f"data.label_budget={budget} is too small: one group of each class has {minimum} images together; "
            "use that many or more"
        )
    kept: npt.NDArray[np.bool_] = np.cumsum(size) <= budget
    return kept
