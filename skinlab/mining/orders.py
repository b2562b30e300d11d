"""The orders in which a pool is offered, the rows of the list, and what each order would have found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skinlab.evaluation import mining
from skinlab.evaluation.distances import unit
from skinlab.evaluation.predictions import PREFIX
from skinlab.evaluation.thresholds.choice import positive_score
from skinlab.mining.embeddings import PoolEmbeddings
from skinlab.settings.commands.mine import MineSettings


@dataclass(frozen=True)
class PoolScores:
    """Scores of the pool's rows, ``(N,)`` each.

    Attributes:
        probability: of the positive classes together.
        uncertainty: from 0 to 1.
        novelty: distance to the training images, 1 at the threshold; NaN where it is unknown.
    """

    probability: np.ndarray
    uncertainty: np.ndarray
    novelty: np.ndarray


@dataclass(frozen=True)
class Orders:
    """Rows of the pool in the order of each way to choose them.

    Attributes:
        rows: way → row numbers, at most ``n``, one a group.
        mixed_by: the way that gave each row of ``mixed``.
    """

    rows: dict[str, np.ndarray]
    mixed_by: list[str]

    def ways(self, by: str) -> list[str]:
        """Return the way that gave each row of one order."""
        return self.mixed_by if by == "mixed" else [by] * len(self.rows[by])


def score_pool(
    embeddings: PoolEmbeddings, novelty: np.ndarray, classes: Sequence[str], positive: Sequence[str], uncertainty: str
) -> PoolScores:
    """Return the scores of the pool's rows.

    Args:
        embeddings: of the pool.
        novelty: of its rows.
        classes: of the probabilities.
        positive: the positive classes.
        uncertainty: ``entropy``, ``margin`` or ``least_confidence``.
    """
    probabilities = embeddings.probabilities
    return PoolScores(
        positive_score(probabilities, classes, positive), mining.uncertainty(probabilities, uncertainty), novelty
    )


def order_pool(embeddings: PoolEmbeddings, scores: PoolScores, settings: MineSettings) -> Orders:
    """Return the order of the way ``by``; of every way where some labels are known, to compare them."""
    n, groups = settings.n, embeddings.groups
    orders = {
        "probability": mining.first_of_each(mining.descending(scores.probability), groups),
        "uncertainty": mining.first_of_each(mining.descending(scores.uncertainty), groups),
    }
    # The farthest images are the foreign ones: an expert would be shown little else.
    familiar = orders["uncertainty"][~(scores.novelty[orders["uncertainty"]] > 1)]
    listed = familiar[: max(settings.shortlist, n)]
    orders = {name: order[:n] for name, order in orders.items()}
    if settings.by in orders and not (embeddings.pool["truth"] != "").any():
        return Orders(orders, [])
    if settings.diversity == "badge":
        picked = mining.badge_order(embeddings.probabilities[listed], embeddings.features[listed], n, settings.seed)
    else:
        training = embeddings.labelled_features[embeddings.is_training]
        picked = mining.k_centre_order(unit(embeddings.features[listed]), n, unit(training))
    orders["diversity"] = listed[picked]
    mixed, mixed_by = mining.mixed(orders, groups, n)
    return Orders(orders | {"mixed": mixed}, mixed_by)


def list_images(
    embeddings: PoolEmbeddings, scores: PoolScores, orders: Orders, by: str, classes: Sequence[str]
) -> pd.DataFrame:
    """Return the rows of ``mine.csv``, in the order of one way."""
    order = orders.rows[by]
    rows, probabilities = embeddings.pool.iloc[order], embeddings.probabilities[order]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "image_id": rows["image_id"].to_numpy(),
            "label": "",
            "path": rows["path"].to_numpy(),
            "group": rows["group"].to_numpy(),
            "by": orders.ways(by),
            "probability": scores.probability[order],
            "uncertainty": scores.uncertainty[order],
            "novelty": scores.novelty[order],
            "flagged": (scores.novelty[order] > 1).astype(int),
        }
        | {PREFIX + name: probabilities[:, i] for i, name in enumerate(classes)}
    )


def measure_yield(
    embeddings: PoolEmbeddings, orders: Mapping[str, np.ndarray], positive: Sequence[str], by: str
) -> dict[str, Any] | None:
    """Return how many positives each order would have found among images of known label; None where there are none.

    The random order shows one image a group, too: a group is positive if one of its images is.
    """
    pool = embeddings.pool
    known, truth = (pool["truth"] != "").to_numpy(), pool["truth"].isin(positive).to_numpy()
    if not known.any():
        return None
    n_groups, n_positive = pool["group"][known].nunique(), pool["group"][known & truth].nunique()
    found = {name: truth[order[known[order]]] for name, order in orders.items()}
    curves = {name: mining.yield_curve(each, n_positive, n_groups) for name, each in found.items()}
    curves = {name: curve for name, curve in curves.items() if curve["labelled"]}
    return {
        "positives": n_positive,
        "groups": n_groups,
        "known": int(known.sum()),
        "by": by,
        "at": {name: mining.points_of_curve(curve) for name, curve in curves.items()},
        "curves": curves,
    }
