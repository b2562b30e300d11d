"""What leaks are worth, from predictions alone."""

import numpy as np
import pytest

from skinlab.evaluation.predictions import Predictions
from skinlab.leaks.outcome import measure
from skinlab.leaks.plan import BY_TEST, TEST, VAL, Leak

CLASSES = ["mel", "nv"]
N = 120


def predictions(seed: int, strength: float) -> Predictions:
    generator = np.random.default_rng(seed)
    target = np.arange(N) % 2
    score = 1 / (1 + np.exp(-(strength * (2 * target - 1) + generator.normal(size=N))))
    ids = np.array([f"image {i}" for i in range(N)], object)
    none = np.full(N, "", object)
    return Predictions(CLASSES, np.stack([1 - score, score], 1), target, ids, ids, none, np.full(N, -1))


@pytest.fixture
def tables():
    clean, leaked = (
        {seed: predictions(10 * k + seed, strength) for seed in range(4)} for k, strength in ((0, 0.3), (1, 2))
    )
    val = {seed: predictions(20 + seed, 0.3) for seed in range(4)}
    return {("clean", TEST): clean, ("clean", BY_TEST): clean, ("clean", VAL): val, ("copies_1", TEST): leaked}


def test_a_leak_is_the_paired_difference_to_the_clean_training(tables):
    ids = tables["clean", TEST][0].image_id[:20].tolist()
    leak = Leak("copies", "copies", 1.0, leaked=("copies_1", TEST), images=20, test_ids=ids)
    (found,) = measure([leak], tables, [])
    accuracy = found["metrics"]["balanced_accuracy"]
    assert set(found["metrics"]) == set(found["on_leaked"]) == {"balanced_accuracy", "auroc_macro", "f1_positive"}
    assert accuracy["difference"]["value"] == pytest.approx(accuracy["leaked"]["value"] - accuracy["clean"]["value"])
    assert 0 < accuracy["difference"]["low"] < accuracy["difference"]["value"] < accuracy["difference"]["high"]


def test_the_same_epoch_is_worth_nothing(tables):
    (found,) = measure([Leak("epoch", "epoch", leaked=("clean", BY_TEST))], tables, [])
    difference = found["metrics"]["auroc_macro"]["difference"]
    assert difference["value"] == 0
    assert "equal" in difference["note"]


def test_several_trainings_widen_the_interval_by_their_variation(tables):
    leak = Leak("copies", "copies", 1.0, leaked=("copies_1", TEST))
    spread = tables | {("copies_1", TEST): {seed: predictions(seed, 4.0 * (seed % 2)) for seed in range(4)}}
    alike = tables | {("copies_1", TEST): {seed: predictions(seed, 2.0) for seed in range(4)}}

    def width(given) -> float:
        interval = measure([leak], given, [])[0]["metrics"]["auroc_macro"]["difference"]
        return interval["high"] - interval["low"]

    assert width(spread) > 2 * width(alike)


def test_the_threshold_chosen_on_the_test_is_never_worse_on_it(tables):
    for seed in range(5):
        one = {key: {0: predictions(seed + 100 * k, 0.5)} for k, key in enumerate(tables)}
        (found,) = measure([Leak("threshold", "threshold", rule="f1")], one, ["nv"])
        assert found["metrics"]["f1_positive"]["difference"]["value"] >= 0
    assert found["title"] == "threshold (f1)"


def test_without_a_known_positive_class_no_threshold_is_measured(tables):
    (found,) = measure([Leak("threshold", "threshold", rule="f1")], tables, [])
    assert found["status"] == "not run"
    assert "leaks.positive=" in found["reason"]
