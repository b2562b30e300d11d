"""The orders in which a pool is offered, the rows of the list, and what each order would have found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skinlab.evaluation import mining
from skinlab.evaluation.distances import unit
from skinlab.evaluation.predictions import PREFIX
from skinlab.evaluation.thresholds import positive_score
from skinlab.mining.embeddings import Seen

WAYS = ("probability", "uncertainty", "diversity", "mixed")


def order_all(
    seen: Seen, novelty: np.ndarray, positive: Sequence[str], classes: Sequence[str], config: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return the order of every way that is asked for, at most ``n`` rows, one a group.

    All ways are gone where the truth of some images is known, so that they can be compared.
    """
    n, groups = config["n"], seen.pool["group"].to_numpy(dtype=object)
    unsure = mining.uncertainty(seen.probabilities, config["uncertainty"])
    orders = {
        "probability": mining.descending(positive_score(seen.probabilities, classes, positive)),
        "uncertainty": mining.descending(unsure),
    }
    orders = {name: mining.first_of_each(order, groups) for name, order in orders.items()}
    # The farthest images are the foreign ones: an expert would be shown little else.
    familiar = orders["uncertainty"][~(novelty[orders["uncertainty"]] > 1)]
    listed = familiar[: max(config["shortlist"], n)]
    orders = {name: order[:n] for name, order in orders.items()}
    if config["by"] in orders and not (seen.pool["truth"] != "").any():
        return orders
    if config["diversity"] == "badge":
        picked = mining.badge_order(seen.probabilities[listed], seen.features[listed], n, config["seed"])
    else:
        train = (seen.labelled["split"] == "train").to_numpy()
        picked = mining.k_centre_order(unit(seen.features[listed]), n, unit(seen.known_features[train]))
    orders["diversity"] = listed[picked]
    return orders | {"mixed": mining.mixed(orders, groups, n)[0]}


def chosen_table(
    seen: Seen,
    novelty: np.ndarray,
    orders: Mapping[str, np.ndarray],
    positive: Sequence[str],
    classes: Sequence[str],
    config: Mapping[str, Any],
) -> pd.DataFrame:
    """Return the rows of ``mine.csv``."""
    order = orders[config["by"]]
    ways = [config["by"]] * len(order)
    if config["by"] == "mixed":
        ways = mining.mixed(orders, seen.pool["group"].to_numpy(dtype=object), len(order))[1]
    probabilities = seen.probabilities[order]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "image_id": seen.pool["image_id"].to_numpy()[order],
            "label": "",
            "path": seen.pool["path"].to_numpy()[order],
            "group": seen.pool["group"].to_numpy()[order],
            "by": ways,
            "probability": positive_score(probabilities, classes, positive),
            "uncertainty": mining.uncertainty(probabilities, config["uncertainty"]),
            "novelty": novelty[order],
            "flagged": (novelty[order] > 1).astype(int),
        }
        | {PREFIX + name: probabilities[:, i] for i, name in enumerate(classes)}
    )


def find_yield(
    seen: Seen, orders: Mapping[str, np.ndarray], positive: Sequence[str], config: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what each way would have found, of the images whose truth is known; None where there are none.

    Random looks at one image a group, too: a group is positive if one of its images is.
    """
    known = (seen.pool["truth"] != "").to_numpy()
    if not known.any():
        return None
    truth = seen.pool["truth"].isin(positive).to_numpy()
    n_groups, n_positive = seen.pool["group"][known].nunique(), seen.pool["group"][known & truth].nunique()
    given = {name: truth[order[known[order]]] for name, order in orders.items()}
    curves = {name: mining.yield_curve(found, n_positive, n_groups) for name, found in given.items()}
    curves = {name: curve for name, curve in curves.items() if curve["looked"]}
    return {
        "positives": n_positive,
        "groups": n_groups,
        "known": int(known.sum()),
        "by": config["by"],
        "at": {name: mining.at_looks(curve) for name, curve in curves.items()},
        "curves": curves,
    }
