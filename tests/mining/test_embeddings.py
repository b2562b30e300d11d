"""The novelty of a pool's images: by features, or by the input gate."""

import numpy as np
import pandas as pd

from skinlab.mining.embeddings import PoolEmbeddings, find_novelty


def test_without_training_images_novelty_is_the_distance_at_the_gate():
    pool, features = pd.DataFrame({"group": ["a", "b"]}), np.ones((2, 3))
    labelled = pd.DataFrame({"group": [], "split": [], "label": []})
    embeddings = PoolEmbeddings(pool, labelled, features, features, features[:0], features[:0], np.array([0.4, 1.3]))
    novelty, measured = find_novelty(embeddings, 0.01, 0)
    assert novelty.tolist() == [0.4, 1.3]
    assert measured == {"by": "gate", "flagged": 1}


def test_a_foreign_image_is_flagged_and_the_training_s_own_are_not():
    rng = np.random.default_rng(0)
    known, groups = rng.normal(size=(400, 4)) + 4, [f"g{i}" for i in range(400)]
    labelled = pd.DataFrame({"group": groups, "split": ["train"] * 200 + ["val"] * 200, "label": ["a", "b"] * 200})
    rows = np.concatenate([known[200:] + 0.1, [[-4.0] * 4]])
    pool = pd.DataFrame({"group": range(201)})
    novelty, measured = find_novelty(PoolEmbeddings(pool, labelled, rows, rows, known, known, None), 0.05, 0)
    assert novelty[-1] > 2
    assert (novelty[:-1] > 1).mean() < 0.12
    assert measured["flagged"] == (novelty > 1).sum()
    assert measured["false_alarms"]["low"] < 0.05 < measured["false_alarms"]["high"]
