"""Paired differences that few groups make: the mid-p of a sign test, and intervals that agree with it."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest, permutation_test

from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.evaluation.statistics.comparison import compare
from skinlab.evaluation.statistics.sign_flips import MOST_DISCORDANT, sign_flip_p
from skinlab.evaluation.statistics.trainings import Trainings, difference_estimate

CLASSES = ["nv", "mel"]
SUMS = ["accuracy", "sensitivity", "specificity", "balanced_accuracy", "recall/nv", "specificity/nv"]
RATIOS = ["ppv", "npv/mel", "f1_macro", "f1_positive"]
NAMES = [*SUMS, *RATIOS]
STUDIES = 500
TESTED = ["accuracy", "sensitivity", "balanced_accuracy", "ppv", "f1_macro"]


def mcnemar(better: int, worse: int) -> float:
    """Return McNemar's mid-p: the exact one less the chance of the result found (half of it, where both are equal)."""
    chance = binom.pmf(better, better + worse, 0.5)
    return binomtest(better, better + worse).pvalue - chance * (0.5 if better == worse else 1)


def trainings_of(target: np.ndarray, group: np.ndarray, *calls: np.ndarray, n_draws: int = 100) -> Trainings:
    """Return the trainings of a system that calls classes with certainty."""
    resampler = Resampler(group, target, CLASSES)
    scorers = [Scorer(np.eye(2)[each], target, CLASSES, names=NAMES) for each in calls]
    return Trainings({(None, i): bootstrap(each, resampler, n_draws=n_draws) for i, each in enumerate(scorers)})


def discordant(n: int, better: int, worse: int) -> tuple[Trainings, Trainings]:
    """Return two systems on n single images, half of each class, one of which is right on so many more, or fewer."""
    target = np.arange(n) % 2
    calls = target.copy()
    other = calls.copy()
    other[:better] = 1 - target[:better]
    calls[better : better + worse] = 1 - target[better : better + worse]
    return trainings_of(target, np.arange(n), calls, n_draws=2000), trainings_of(
        target, np.arange(n), other, n_draws=2000
    )


@pytest.mark.parametrize(("better", "worse"), [(5, 0), (6, 0), (7, 1), (9, 2), (30, 12), (4, 4), (1, 0)])
def test_the_p_of_single_images_is_mcnemars_mid_p(better, worse):
    changes = np.repeat([1.0, -1.0, 0.0], [better, worse, 40])
    assert sign_flip_p(changes) == pytest.approx(mcnemar(better, worse), abs=1e-12)


def test_the_p_of_groups_of_several_sizes_is_that_of_all_their_sign_flips():
    changes = np.array([3.0, 1, -2, 1, 1, 4, -1, 2])
    every = permutation_test(
        (changes, np.zeros(8)), lambda a, b: (a - b).sum(), permutation_type="samples", n_resamples=np.inf
    )
    found = np.isclose(np.abs(every.null_distribution), abs(changes.sum()))
    assert sign_flip_p(changes) == pytest.approx(every.pvalue - found.mean() / 2, abs=1e-12)
    assert np.isnan(sign_flip_p(np.ones(MOST_DISCORDANT + 1)))
    assert sign_flip_p(np.zeros(3)) == 1


@pytest.mark.parametrize("images", [1, 3])
def test_what_the_groups_add_is_the_metric(images):
    rng = np.random.default_rng(0)
    target, calls = rng.integers(2, size=(2, 60))
    (samples,) = trainings_of(target, np.arange(60) // images, calls, n_draws=0).samples.values()
    assert set(samples.by_group) == set(SUMS)
    for name in SUMS:
        assert samples.by_group[name].sum() == pytest.approx(samples.estimate[name], abs=1e-12), name


@pytest.mark.parametrize(("better", "worse"), [(5, 0), (6, 0), (7, 1), (8, 1), (9, 2), (12, 4), (20, 9)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_a_comparison_is_never_more_certain_than_mcnemars_test_and_its_interval_agrees(better, worse, level):
    a, b = discordant(40, better, worse)
    least = mcnemar(better, worse)
    (found,) = compare([("b", b), ("a", a)], ["accuracy"], level=level)
    assert found.p >= least - 1e-12
    assert found.p == pytest.approx(least) or found.p > least
    assert found.significant == (found.difference.low * found.difference.high > 0)
    of_samples = next(iter(a.samples.values())).minus(next(iter(b.samples.values()))).interval("accuracy", level)
    assert (of_samples.low, of_samples.high) == pytest.approx((found.difference.low, found.difference.high))


@pytest.mark.parametrize("metric", RATIOS)
def test_ratios_of_counts_are_no_more_certain_than_their_discordant_groups_allow(metric):
    (found,) = compare([("b", (systems := discordant(60, 4, 0))[1]), ("a", systems[0])], [metric])
    assert found.p >= 2.0**-4
    assert not found.significant
    assert not found.difference.low * found.difference.high > 0


def test_the_mean_of_trainings_is_tested_by_the_groups_that_it_changes():
    """Three trainings that agree in full are no more than one."""
    target = np.arange(40) % 2
    other = np.where(np.arange(40) < 5, 1 - target, target)
    one, several = (
        difference_estimate(
            *(trainings_of(target, np.arange(40), *[calls] * k) for calls in (target, other)), "accuracy"
        )
        for k in (1, 3)
    )
    assert one.p == several.p == pytest.approx(0.03125)


def rejected(n: int, rate: float, images: int, studies: int) -> dict[str, float]:
    """Return how often two equal systems, which differ on a share of the groups, are called different."""
    rng, found = np.random.default_rng(0), dict.fromkeys(TESTED, 0)
    group = np.repeat(np.arange(n // images), images)
    target = (group % 4 == 0).astype(np.int64)
    for _ in range(studies):
        right, differ, first = (rng.random((3, n // images)) < [[0.8], [rate], [0.5]])[:, group]
        calls = (np.where(right ^ (differ & (first == side)), target, 1 - target) for side in (True, False))
        a, b = (trainings_of(target, group, each) for each in calls)
        for name in TESTED:
            found[name] += difference_estimate(a, b, name).p <= 0.05
    return {name: count / studies for name, count in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "rate", "images"),
    [(40, 0.15, 1), (100, 0.05, 1), (100, 0.1, 1), (200, 0.05, 1), (100, 0.1, 2), (400, 0.2, 1)],
)
def test_equal_systems_are_rarely_called_different_by_few_discordant_groups(n, rate, images):
    found = rejected(n, rate, images, studies=STUDIES)
    print(f"\n{n} images, {images} a group, {rate:.0%} discordant: {found}")
    assert max(found.values()) <= 0.06 + 2 * (0.06 * 0.94 / STUDIES) ** 0.5
