"""The share of positives in a pool: estimated, or null with a reason."""

import re

import numpy as np
import pandas as pd
import pytest

from skinlab.mining.embeddings import PoolEmbeddings
from skinlab.mining.prevalence import find_prevalence


def known(n_positive: int, n_other: int, probability: float) -> PoolEmbeddings:
    """Validation images of which so many are positive; the model separates them, unless the probability is 0.5."""
    label = np.repeat(["b", "a"], [n_positive, n_other])
    labelled = pd.DataFrame({"group": range(len(label)), "split": "val", "label": label})
    noise = np.random.default_rng(0).uniform(-0.05, 0.05, len(label))
    p = np.where(label == "b", probability, 1 - probability) + noise
    scores, none = np.stack([1 - p, p], 1), np.zeros((len(label), 1))
    return PoolEmbeddings(pd.DataFrame({"group": range(len(label))}), labelled, scores, none, scores, none, None)


@pytest.mark.parametrize(
    ("counts", "probability", "reason"),
    [
        ((3, 40), 0.8, "3 of 43 validation images are positive, 3 groups with and 40 without such images; .* takes 10"),
        ((40, 9), 0.8, "40 of 49 validation images are positive, 40 groups with and 9 without"),
        ((0, 30), 0.8, "0 of 30 validation images are positive"),
        ((12, 12), 0.5, r"12 of 24 .*, and the 95 % interval, 0 to 100 %, is uninformative"),
    ],
)
def test_a_share_that_cannot_be_estimated_is_null_with_its_reason(counts, probability, reason):
    embeddings = known(*counts, probability)
    found = find_prevalence(embeddings, np.zeros(sum(counts)), ["a", "b"], ["b"], n_draws=60, seed=0)
    assert found["em"] is None
    assert re.search(reason, found["why"])


def test_enough_validation_images_give_a_share():
    found = find_prevalence(known(20, 40, 0.8), np.zeros(60), ["a", "b"], ["b"], n_draws=40, seed=0)
    assert found["em"]["low"] < 1 / 3 < found["em"]["high"]
