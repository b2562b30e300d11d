"""One grouping of the images for all systems of a comparison, so that their bootstrap samples are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skinlab.evaluation.predictions import Predictions

Parts = Sequence[Sequence[Predictions]]
UNKNOWN: dict[str, str | int] = {"source": "", "fold": -1, "path": "", "image_hash": ""}


def share_groups(parts: Parts, names: Sequence[str]) -> tuple[list[list[Predictions]], str]:
    """Return the same tables with one grouping, and source, fold and path filled in where only another part knows them.

    Parts are joined by image id. Images share a group where they do in any part, which is the coarsest grouping as long
    as no two parts contradict each other. Groups keep their names where all parts know the same grouping.

    Args:
        parts: the tables of each system, such as its test rows and its validation rows, which name groups alike.
        names: what to call each part in a message.

    Returns:
        The tables of each part, and the names of the parts whose groupings were used.

    Raises:
        ValueError: of two parts each separates images that the other has in one group.
    """
    parts = _fill_in(parts)
    known = [_known_groups(part) for part in parts]
    distinct: dict[tuple[tuple[str, ...], bytes], int] = {}
    for i, groups in enumerate(known):
        distinct.setdefault((tuple(groups.index), pd.factorize(groups)[0].tobytes()), i)
    used = [i for i in distinct.values() if len(known[i])]
    if len(distinct) > 1:
        for i, j in combinations(used, 2):
            _refuse_contradiction(known[i], known[j], names[i], names[j])
        shared = _joined([known[i] for i in used])
        parts = [[replace(table, group=_looked_up(shared, table)) for table in part] for part in parts]
        coarsest = min(used, key=lambda i: (known[i].nunique() - len(known[i]), i))
        whole = len(known[coarsest]) == len(shared) and known[coarsest].nunique() == shared.nunique()
        used = [coarsest] if whole else used
    return [list(part) for part in parts], " and ".join(names[i] for i in used)


def same_grouping(a: Predictions, b: Predictions) -> bool:
    """Return whether two tables of the same rows in one order put the same rows together, by whatever names."""
    return np.array_equal(pd.factorize(a.group)[0], pd.factorize(b.group)[0])


def _known_groups(part: Sequence[Predictions]) -> pd.Series[str]:
    """Return image id → group, in the order of the ids, without images whose group is not known: they are their own."""
    image, group = (np.concatenate([getattr(table, key) for table in part]) for key in ("image_id", "group"))
    groups = pd.Series(group, index=image, dtype=object).sort_index()
    groups = groups[~groups.index.duplicated()]  # seeds have the same rows
    return groups[(groups != groups.index) | groups.duplicated(keep=False)]


def _refuse_contradiction(a: pd.Series[str], b: pd.Series[str], name_a: str, name_b: str) -> None:
    both = pd.concat([a.rename("a"), b.rename("b")], axis=1, join="inner")
    pairs = both.drop_duplicates()
    if not (pairs["a"].duplicated().any() and pairs["b"].duplicated().any()):
        return  # one is a refinement of the other
    split_by_b, split_by_a = (" and ".join(_separated(pairs, *order)) for order in (("a", "b"), ("b", "a")))
    raise ValueError(
        f"{name_a} and {name_b} contradict each other in group: {name_a} has images {split_by_b} in one group and "
        f"{name_b} has not, {name_b} has {split_by_a} in one and {name_a} has not; correct the column group of one"
    )


def _separated(pairs: pd.DataFrame, one: str, other: str) -> list[str]:
    """Return two images that share a group of the one, but not of the other."""
    torn = pairs[one][pairs[one].duplicated()].iloc[0]
    return [str(image) for image in pairs.index[pairs[one] == torn][:2]]


def _joined(known: Sequence[pd.Series[str]]) -> pd.Series[str]:
    """Return image id → the first image of its group; images share one where they do in any of the groupings."""
    image, ids = pd.factorize(np.concatenate([each.index for each in known]))
    group = pd.factorize(np.concatenate([[f"{i}/{name}" for name in each] for i, each in enumerate(known)]))[0]
    size = len(ids) + int(group.max(initial=0)) + 1
    edges = coo_array((np.ones(len(image)), (image, len(ids) + group)), shape=(size, size))
    component = connected_components(edges, directed=False)[1][: len(ids)]
    return pd.Series(ids, index=ids, dtype=object).groupby(component).transform("first")


def _looked_up(shared: pd.Series[str], table: Predictions) -> npt.NDArray[np.object_]:
    found = shared.reindex(table.image_id).to_numpy(object)
    return np.where(pd.isna(found), table.image_id, found)


def _fill_in(parts: Parts) -> list[list[Predictions]]:
    """Fill in the source, the fold and the path of rows that only another table knows."""
    tables = [table for part in parts for table in part]
    known: dict[str, pd.Series[str]] = {}
    for key, unknown in UNKNOWN.items():
        each = [pd.Series(getattr(table, key), index=table.image_id) for table in tables]
        values = pd.concat([values[values != unknown] for values in each])
        known[key] = values[~values.index.duplicated()]

    def filled(table: Predictions, key: str) -> npt.NDArray[Any]:
        own = getattr(table, key)
        others = known[key].reindex(table.image_id).fillna(UNKNOWN[key]).to_numpy(own.dtype)
        return np.where(own == UNKNOWN[key], others, own)

    def whole(table: Predictions) -> Predictions:
        known_parts: dict[str, Any] = {key: filled(table, key) for key in UNKNOWN}
        return replace(table, **known_parts)

    return [[whole(table) for table in part] for part in parts]
