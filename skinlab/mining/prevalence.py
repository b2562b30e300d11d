"""Estimate the share of positives in a pool, where the validation images allow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skinlab.evaluation.thresholds.prevalence import estimate_prevalence
from skinlab.mining.embeddings import PoolEmbeddings
from skinlab.text import portion, quantity

# With fewer groups of positives or others to learn the errors from, intervals miss the truth too often to be reported.
MIN_GROUPS = 10
MAX_WIDTH = 0.9  # of an interval that is informative


def find_prevalence(
    embeddings: PoolEmbeddings,
    novelty: np.ndarray,
    classes: Sequence[str],
    positive: Sequence[str],
    *,
    n_draws: int,
    seed: int,
) -> dict[str, Any]:
    """Estimate the share of positives among the images that are not flagged, or say ``why`` not (``em`` is None).

    Args:
        embeddings: of the pool and the validation images.
        novelty: of the pool's rows; above 1 is flagged.
        classes: of the probabilities.
        positive: some of them.
        n_draws: bootstrap samples of the interval.
        seed: of them.
    """
    val = (embeddings.labelled["split"] == "val").to_numpy()
    rows, counted = embeddings.labelled[val], ~(novelty > 1)
    if not len(rows):
        return _unknown("there are no validation images to learn the model's errors from; give a run")
    found = rows["label"].isin(positive)
    counts = f"{portion(found.sum(), len(rows), 'validation image', 'is')} positive"
    kinds = [rows["group"][each].nunique() for each in (found, ~found)]
    if min(kinds) < MIN_GROUPS:
        return _unknown(
            f"{counts}, {quantity(kinds[0], 'group')} with and {kinds[1]} without such images; to learn the "
            f"model's errors takes {MIN_GROUPS} of either kind"
        )
    numbers = {name: i for i, name in enumerate(classes)}
    try:
        share = estimate_prevalence(
            embeddings.probabilities[counted],
            embeddings.labelled_probabilities[val],
            np.array([numbers[label] for label in rows["label"]], np.int64),
            [numbers[name] for name in positive],
            pool_groups=embeddings.pool["group"][counted].to_numpy(),
            groups=rows["group"].to_numpy(),
            n_draws=n_draws,
            seed=seed,
        )
    except ValueError as error:
        return _unknown(str(error))
    low, high = share["em"]["low"], share["em"]["high"]
    if not high - low < MAX_WIDTH:
        return _unknown(f"{counts}, and the 95 % interval, {100 * low:.0f} to {100 * high:.0f} %, is uninformative")
    return share


def _unknown(why: str) -> dict[str, Any]:
    return {"em": None, "why": why}
