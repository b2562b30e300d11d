"""Recipes are compared at the same specificity outside, over images and trainings, and cost what they cost at home."""

from dataclasses import replace

import numpy as np
import pytest

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.mitigation import Comparison, Recipe, Training
from skinlab.evaluation.shift.origin import Side
from skinlab.evaluation.shift.yardstick import Yardstick

CLASSES = ["mel", "nv"]
YARDSTICK = Yardstick(["mel"], 0.3)


def table(power: float, seed: int, own: int, n: int = 400) -> Predictions:
    """Images whose score has a power, the same images for the same seed; `own` is the noise of one training."""
    rng = np.random.default_rng(seed)
    target = (rng.random(n) > 0.3).astype(int)
    score = power * (target == 0) - 2 + rng.normal(size=n) + 0.3 * np.random.default_rng([seed, own]).normal(size=n)
    p = 1 / (1 + np.exp(-score))
    ids, blank = np.array([f"i{i}" for i in range(n)], object), np.full(n, "", object)
    return Predictions(CLASSES, np.stack([p, 1 - p], 1), target, ids, ids, blank, np.full(n, -1))


def recipe(name: str, power: float, *seeds: int, start: int = 0) -> Recipe:
    yardstick = Yardstick(["mel"], 0.3)
    return Recipe(
        name,
        [
            Training((s, 0), yardstick, Side("home", table(3, 0, start + s)), Side("out", table(power, 1, start + s)))
            for s in seeds
        ],
    )


def test_a_recipe_that_ranks_better_outside_helps_and_one_that_ranks_alike_does_not():
    found = Comparison(
        [recipe("a", 1, 0, 1, 2), recipe("b", 2.5, 0, 1, 2, start=9), recipe("c", 1, 0, 1, 2, start=20)],
        Yardstick(["mel"], 0.3),
    )
    low, high = found.band
    assert high == pytest.approx(low + 0.1)
    assert low < found.recipes[0].specificity() < high
    (sentence,) = found.outcome()
    assert sentence.startswith("b helps: sensitivity +0.")
    assert "at home its AUROC changes by" in sentence
    assert found.worth[0]["p"] < 0.01 < found.worth[1]["p"]
    assert [row["name"] for row in found.table()["rows"]] == ["a", "b", "c"]
    assert len(found.conditions()) == 6
    assert found.conditions()[0]["changes"] == {}
    assert "b " in found.missed()


def test_another_threshold_alone_helps_nobody():
    """A recipe that ranks alike and calls more images positive is no better at the same specificity."""
    first = recipe("a", 1, 0)
    lower = Recipe("b", [replace(each, yardstick=Yardstick(["mel"], 0.05)) for each in first.trainings])
    found = Comparison([first, lower], Yardstick(["mel"], 0.3))
    assert (
        found.conditions()[2]["metrics"]["sensitivity"]["value"]
        > found.conditions()[0]["metrics"]["sensitivity"]["value"]
    )
    assert found.worth[0]["difference"]["value"] == 0
    assert found.outcome()[0].startswith("No evidence that the other recipe")


def test_the_specificity_of_the_comparison_is_the_first_recipes_within_limits_or_as_set():
    calls_all = Recipe(
        "a", [replace(each, yardstick=Yardstick(["mel"], 0.001)) for each in recipe("a", 1, 0).trainings]
    )
    pair = [calls_all, recipe("b", 1, 0)]
    assert calls_all.specificity() < 0.1
    assert Comparison(pair, YARDSTICK).band == (0.45, 0.55)
    assert Comparison(pair, YARDSTICK, 0.98).band == (0.93, 1.0)


@pytest.mark.slow
def test_recipes_that_are_alike_differ_in_one_of_twenty_studies():
    rejected = 0
    for study in range(400):
        pair = [
            Recipe(
                name,
                [Training((0, 0), YARDSTICK, Side("h", table(3, 0, 0)), Side("o", table(1.5, 1000 + study, own, 200)))],
            )
            for name, own in (("a", 1), ("b", 2))
        ]
        rejected += Comparison(pair, YARDSTICK).worth[0]["p"] < 0.05
    assert 0.02 < rejected / 400 < 0.08
