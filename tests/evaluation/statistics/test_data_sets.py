from dataclasses import replace

import numpy as np
import pytest

from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.evaluation.statistics.data_sets import compare_data_sets
from skinlab.evaluation.statistics.unpaired import unpaired_difference

SETTINGS = {"level": 0.95, "seed": 0}


def rows(n: int, seed: int, signal: float = 1.0, positives: float = 0.5) -> Predictions:
    rng = np.random.default_rng(seed)
    target = (rng.random(n) < positives).astype(int)
    p = 1 / (1 + np.exp(-rng.normal(size=n) - signal * (2 * target - 1)))
    ids = np.array([f"{seed}-{i}" for i in range(n)], object)
    empty = np.full(n, "", object)
    return Predictions(["nv", "mel"], np.stack([1 - p, p], 1), target, ids, ids, empty, np.full(n, -1))


def samples(view: Predictions, *names: str):
    scorer = Scorer(view.probabilities, view.target, view.classes, names=names)
    return bootstrap(scorer, Resampler(view.group, view.target, view.classes), n_draws=100)


def test_of_shares_it_is_newcombes_interval():
    """Newcombe (1998), method 10: 56 of 70 against 48 of 80."""
    correct = [np.arange(n) < k for n, k in ((70, 56), (80, 48))]
    found = []
    for right in correct:
        p = np.where(right, 0.9, 0.1)
        n = len(right)
        ids, empty = np.arange(n).astype(str).astype(object), np.full(n, "", object)
        # Half of the images are of each class, so that accuracy is a share of independent images.
        target = np.arange(n) % 2
        probabilities = np.where(target[:, None] == [0, 1], p[:, None], 1 - p[:, None])
        view = Predictions(["a", "b"], probabilities, target, ids, ids, empty, np.full(n, -1))
        found.append(samples(view, "accuracy"))
    interval, p = unpaired_difference(*found, "accuracy")
    assert interval.value == pytest.approx(0.2)
    assert (interval.low, interval.high) == pytest.approx((0.0524, 0.3339), abs=0.004)
    assert 0.001 < p < 0.02


def test_p_belongs_to_the_interval():
    a, b = (samples(rows(150, seed, signal), "auroc_macro") for seed, signal in ((0, 0.9), (1, 0.6)))
    _, p = unpaired_difference(a, b, "auroc_macro")
    interval, _ = unpaired_difference(a, b, "auroc_macro", 1 - p)
    assert min(abs(interval.low), abs(interval.high)) == pytest.approx(0, abs=1e-4)


def test_only_classes_with_groups_in_both_are_compared():
    few = rows(60, 2).take(np.r_[np.flatnonzero(rows(60, 2).target == 1)[:4], np.flatnonzero(rows(60, 2).target == 0)])
    found = compare_data_sets([("home", [rows(200, 1)]), ("away", [few])], ["balanced_accuracy"], **SETTINGS)
    assert found == {"classes": ["nv"], "metrics": {}, "comparisons": []}
    third = replace(rows(200, 3), classes=["nv", "mel", "bcc"], probabilities=np.full((200, 3), 1 / 3))
    third = replace(third, probabilities=third.probabilities + 0.01 * np.eye(3)[third.target])
    home = replace(third, target=np.arange(200) % 3, image_id=third.image_id + "h")
    found = compare_data_sets([("home", [home]), ("away", [third])], ["accuracy"], **SETTINGS)
    assert found["classes"] == ["nv", "mel"]
    kept = home.target < 2
    assert found["metrics"]["home"]["accuracy"]["value"] == pytest.approx(
        (home.probabilities.argmax(1) == home.target)[kept].mean()
    )


def test_sentences_name_both_and_the_class_mix():
    systems = [("home", [rows(400, 1, 1.5)]), ("away", [rows(400, 2, 0.3)])]
    found = compare_data_sets(systems, ["balanced_accuracy", "brier"], **SETTINGS)["comparisons"]
    assert found[0]["sentence"].startswith("home has a higher balanced accuracy on its images than away on its")
    assert "home has a lower, better Brier score" in found[1]["sentence"]
    assert [row["class_mix"] for row in found] == [False, True]
    assert "It depends on the class mix" in found[1]["sentence"]
    third = [*systems, ("far", [rows(200, 3)])]
    assert len(compare_data_sets(third, ["auroc_macro"], **SETTINGS)["comparisons"]) == 3
    assert len(compare_data_sets(third, ["auroc_macro"], reference="home", **SETTINGS)["comparisons"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["balanced_accuracy", "auroc_macro", "brier", "sensitivity"])
def test_the_interval_of_no_difference_covers(name):
    covered, small, n = 0, 0, 500
    for seed in range(n):
        a, b = (samples(rows(size, 2 * seed + i, 0.8, 0.3), name) for i, size in enumerate((80, 200)))
        interval, p = unpaired_difference(a, b, name)
        covered += interval.low <= 0 <= interval.high
        small += p <= 0.05
    assert 0.92 <= covered / n <= 0.98
    assert abs(small / n - (1 - covered / n)) < 0.01
