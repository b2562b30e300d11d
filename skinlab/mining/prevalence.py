"""What share of a pool is positive, where the validation images can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skinlab.evaluation.prevalence import estimate_prevalence
from skinlab.mining.embeddings import Seen

# With fewer groups of positives or others to learn the errors from, intervals miss the truth too often to be told.
LEAST_GROUPS = 10
WIDEST = 0.9  # of an interval that still tells something


def find_prevalence(
    seen: Seen, novelty: np.ndarray, positive: Sequence[str], classes: Sequence[str], config: Mapping[str, Any]
) -> dict[str, Any]:
    """Estimate the share of positives among the images that are not flagged, or say ``why`` not (``em`` is None)."""
    val = (seen.labelled["split"] == "val").to_numpy()
    rows, counted = seen.labelled[val], ~(novelty > 1)
    if not len(rows):
        return _unknown("there are no validation images to learn the model's errors from; give a run")
    found = rows["label"].isin(positive)
    counts = f"{found.sum()} of {len(rows)} validation images are positive"
    kinds = [rows["group"][each].nunique() for each in (found, ~found)]
    if min(kinds) < LEAST_GROUPS:
        return _unknown(
            f"{counts}, {kinds[0]} groups with and {kinds[1]} without such images; to learn the model's errors takes "
            f"{LEAST_GROUPS} of either kind"
        )
    numbers = {name: i for i, name in enumerate(classes)}
    try:
        share = estimate_prevalence(
            seen.probabilities[counted],
            seen.known[val],
            np.array([numbers[label] for label in rows["label"]], np.int64),
            [numbers[name] for name in positive],
            pool_groups=seen.pool["group"][counted].to_numpy(),
            groups=rows["group"].to_numpy(),
            n_draws=config["n_draws"],
            seed=config["seed"],
        )
    except ValueError as error:
        return _unknown(str(error))
    low, high = share["em"]["low"], share["em"]["high"]
    if not high - low < WIDEST:
        return _unknown(
            f"{counts}, and the 95 % interval is {100 * low:.0f} to {100 * high:.0f} %, which tells nothing"
        )
    return share


def _unknown(why: str) -> dict[str, Any]:
    return {"em": None, "why": why}
