from dataclasses import replace

import numpy as np
import pytest

from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.evaluation.statistics.comparison import Endpoint
from skinlab.evaluation.statistics.data_sets import DataSet, compare_data_sets
from skinlab.evaluation.statistics.hypotheses import Hypothesis
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
    found = compare_data_sets(
        [DataSet("home", [rows(200, 1)]), DataSet("away", [few])], ["balanced_accuracy"], **SETTINGS
    )
    assert found == {"classes": ["nv"], "metrics": {}, "operating_points": {}, "comparisons": []}
    third = replace(rows(200, 3), classes=["nv", "mel", "bcc"], probabilities=np.full((200, 3), 1 / 3))
    third = replace(third, probabilities=third.probabilities + 0.01 * np.eye(3)[third.target])
    home = replace(third, target=np.arange(200) % 3, image_id=third.image_id + "h")
    found = compare_data_sets([DataSet("home", [home]), DataSet("away", [third])], ["accuracy"], **SETTINGS)
    assert found["classes"] == ["nv", "mel"]
    kept = home.target < 2
    assert found["metrics"]["home"]["accuracy"]["value"] == pytest.approx(
        (home.probabilities.argmax(1) == home.target)[kept].mean()
    )


def test_sentences_name_both_and_the_class_mix():
    systems = [DataSet("home", [rows(400, 1, 1.5)]), DataSet("away", [rows(400, 2, 0.3)])]
    found = compare_data_sets(systems, ["balanced_accuracy", "brier"], **SETTINGS)["comparisons"]
    assert found[0]["sentence"].startswith("home has a higher balanced accuracy on its images than away on its")
    assert "home has a lower, better Brier score" in found[1]["sentence"]
    assert [row["class_mix"] for row in found] == [False, True]
    assert "It depends on the class mix" in found[1]["sentence"]
    third = [*systems, DataSet("far", [rows(200, 3)])]
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


def test_an_endpoint_alone_carries_a_claim():
    systems = [DataSet("home", [rows(400, 1, 1.5)]), DataSet("away", [rows(400, 2, 1.4)])]
    endpoint = Endpoint("auroc_macro", Hypothesis("noninferiority", 0.15))
    both = ["balanced_accuracy", "auroc_macro"]
    found = compare_data_sets(systems, both, reference="home", endpoint=endpoint, **SETTINGS)["comparisons"]
    assert [(row["metric"], row["role"]) for row in found] == [
        ("auroc_macro", "primary"),
        ("balanced_accuracy", "secondary"),
    ]
    first, second = found
    assert first["sentence"].startswith(
        "Primary endpoint: away is not inferior to home by 0.15 or more in macro AUROC, each on its images (test of "
        "non-inferiority, one-sided at 0.025): away minus home is "
    )
    assert first["p"] == pytest.approx(first["p_holm"])  # a family of its own
    assert second["sentence"].startswith(
        "Secondary endpoint balanced accuracy: away on its images minus home on its is"
    )


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("metric", "sign"), [("auroc_macro", "+"), ("brier", "\N{MINUS SIGN}")])
def test_the_difference_is_that_of_the_system_named_first(order, metric, sign):
    systems = [DataSet("home", [rows(400, 1, 1.5)]), DataSet("away", [rows(400, 2, 0.3)])][::order]
    (found,) = compare_data_sets(systems, [metric], **SETTINGS)["comparisons"]
    assert found["significant"]
    assert found["sentence"].startswith("home has a ")
    assert f": home minus away is {sign}0." in found["sentence"]


@pytest.mark.parametrize("kind", ["superiority", "noninferiority", "equivalence"])
@pytest.mark.parametrize("name", ["auroc_macro", "brier"])
def test_the_p_of_a_margin_belongs_to_the_interval(kind, name):
    """A claim holds at the level at which the interval ends at the margin (Piaggio et al., 2012)."""
    signals = ((0, 1.5), (1, 0.8)) if kind == "superiority" else ((0, 1.2), (1, 0.9))
    a, b = (samples(rows(150, seed, signal), name) for seed, signal in signals)
    sign = -1 if name == "brier" else 1
    _, p = unpaired_difference(a, b, name, hypothesis=Hypothesis(kind, 0.05), least_p=0)
    ends, _ = unpaired_difference(a, b, name, 1 - p if kind == "superiority" else 1 - 2 * min(p, 1 - p))
    bounds = {"superiority": [0.05], "noninferiority": [-0.05], "equivalence": [-0.05, 0.05]}[kind]
    distances = [abs(sign * end - bound) for end in (ends.low, ends.high) for bound in bounds]
    assert min(distances) == pytest.approx(0, abs=1e-3)


def test_the_least_p_is_that_of_paired_comparisons():
    a, b = ([rows(900, seed, signal)] for seed, signal in ((0, 3.0), (1, 0.0)))
    for n_draws, words in ((2000, "corrected p ≤ 0.001"), (200, "corrected p ≤ 0.01")):
        (row,) = compare_data_sets([DataSet("a", a), DataSet("b", b)], ["auroc_macro"], n_draws=n_draws, **SETTINGS)[
            "comparisons"
        ]
        assert row["p"] == row["p_floor"] == 2 / (n_draws + 1)
        assert words in row["sentence"]
