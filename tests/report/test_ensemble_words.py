"""What a report says of an ensemble's members and of the best subset."""

import pytest

from skinlab.report.wording import ensemble_words


def words(disagreement: float, nested: float, metric: str) -> str:
    pair = {"a": "x", "b": "y", "disagreement": disagreement, "error_correlation": 1.0}
    single = {"chosen": ["x"], "nested": 0.655}
    subset = {"chosen": ["x", "y"], "nested": nested, "same_rows": 0.7, "gain": 0.0, "folds_agreeing": 3}
    search = {"metric": metric, "all_members": 0.6, "n_candidates": 3, "exhaustive": True, "folds": 5}
    search |= {"single": single, "pair": subset, "subset": subset}
    ensemble = {"diversity": [pair], "weights": None, "members": ["x", "y"], "search": search}
    return " ".join(ensemble_words(ensemble | {"equal_cost_baseline": "none"}))


def test_members_that_call_every_image_alike_are_said_to():
    assert "x and y have the same most probable class on every image" in words(0.0, 0.7, "auroc_macro")
    assert "x and y disagree on 12.5" in words(0.125, 0.7, "auroc_macro")


@pytest.mark.parametrize(
    ("nested", "metric", "worse"),
    [(0.643, "auroc_macro", True), (0.66, "auroc_macro", False), (0.643, "brier", False), (0.66, "brier", True)],
)
def test_a_subset_that_is_worse_than_the_best_single_system_is_said_to_be(nested, metric, worse):
    assert ("That subset is worse than the best single system, x." in words(0.1, nested, metric)) is worse
