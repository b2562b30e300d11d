"""A feature that goes with a class is a shortcut where it moves other classes towards it, and only there."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.shortcuts import Feature, find_ties, flag_shortcuts, measure, ties_table
from skinlab.evaluation.shift.yardstick import Yardstick

CLASSES = ["mel", "nv"]
YARDSTICK = Yardstick(["mel"], 0.5)
N = 300


def place(tied: bool, used: float, seed: int = 0) -> tuple[np.ndarray, Predictions]:
    """Images of which some have a ruler, and predictions whose log-odds of mel it raises by a number."""
    rng = np.random.default_rng(seed)
    target = (rng.random(N) > 0.3).astype(int)
    has = rng.random(N) < np.where(tied & (target == 0), 0.8, 0.2)
    return has, predictions(target, has * used, rng)


def predictions(target: np.ndarray, raised: np.ndarray, rng: np.random.Generator) -> Predictions:
    p = 1 / (1 + np.exp(-(2 * (target == 0) - 2 + raised + rng.normal(0, 0.7, N))))
    ids, blank = np.array([f"i{i}" for i in range(N)], object), np.full(N, "", object)
    return Predictions(CLASSES, np.stack([p, 1 - p], 1), target, ids, ids, blank, np.full(N, -1))


def found(has: np.ndarray, table: Predictions, draw=None) -> tuple[list, list]:
    labels, groups = pd.Series(np.array(CLASSES)[table.target]), pd.Series(table.group)
    ties = find_ties([Feature("ruler", has.astype(float), draw)], labels, groups)
    for tie in ties:
        measure(tie, table, YARDSTICK)
    return ties, flag_shortcuts(ties)


def test_a_tied_feature_that_the_model_uses_is_flagged():
    has, table = place(tied=True, used=1.5)
    ties, flags = found(has, table)
    (tie,) = ties
    mel = table.target == 0
    cells = [[(has & mel).sum(), (~has & mel).sum()], [(has & ~mel).sum(), (~has & ~mel).sum()]]
    assert tie.label == "mel"
    assert tie.share == pytest.approx(has[mel].mean())
    assert tie.p == pytest.approx(2 * fisher_exact(cells, alternative="greater").pvalue)
    assert tie.real["difference"]["low"] < 1.5 < tie.real["difference"]["high"]
    assert [each["level"] for each in flags] == ["watch"]
    assert "ruler is a shortcut to mel" in flags[0]["sentence"]
    assert ties_table(ties)["rows"][0]["name"] == "ruler, mel"


def test_a_drawn_feature_that_moves_the_same_images_breaks():
    has, table = place(tied=True, used=1.5)
    with_it = predictions(table.target, np.full(N, 1.5), np.random.default_rng(9))
    ties, flags = found(has, table, lambda: with_it)
    assert ties[0].drawn["difference"]["value"] == pytest.approx(1.5, abs=0.3)
    assert [each["level"] for each in flags] == ["breaks"]


def test_neither_a_tie_nor_an_effect_alone_is_a_shortcut():
    ties, flags = found(*place(tied=False, used=1.5))
    assert ties == []
    assert flags == []
    ties, flags = found(*place(tied=True, used=0.0))
    assert len(ties) == 1
    assert flags == []


def test_false_alarms_are_rare():
    assert sum(bool(found(*place(tied=False, used=0.0, seed=seed))[1]) for seed in range(60)) == 0
    assert sum(bool(found(*place(tied=True, used=0.0, seed=seed))[1]) for seed in range(60)) <= 4


def test_images_of_which_it_is_not_known_do_not_count():
    has, table = place(tied=True, used=1.5)
    unknown = has.astype(float)
    unknown[::2] = np.nan
    ties, _ = found(unknown, table)
    mel = table.target == 0
    assert ties[0].share == pytest.approx(has[1::2][mel[1::2]].mean())
