"""The range of thresholds that may be best for F1."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from skinlab.evaluation.thresholds.choice import choose_threshold
from skinlab.evaluation.thresholds.f1_range import f1_threshold_range


def sample(n, prevalence=0.2, shift=2.0, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < prevalence
    return rng.normal(size=n) + shift * truth, truth


def test_it_holds_the_chosen_threshold_and_narrows_with_more_images():
    ranges = []
    for n in (150, 3000):
        score, truth = sample(n)
        low, high = f1_threshold_range(score, truth, np.arange(n), n_draws=200)
        assert low <= choose_threshold(score, truth, "f1") <= high
        ranges.append(high - low)
    assert ranges[1] < ranges[0] / 2


def test_a_perfect_score_leaves_thresholds_between_the_classes_only():
    score, truth = np.linspace(0, 1, 100), np.arange(100) >= 80
    low, high = f1_threshold_range(score, truth, np.arange(100), n_draws=200)
    assert 0.6 < low <= high
    assert low <= score[80]


def test_groups_count_once():
    score, truth = sample(300)
    single = f1_threshold_range(score, truth, np.arange(300), n_draws=200)
    repeated = f1_threshold_range(np.repeat(score, 4), np.repeat(truth, 4), np.repeat(np.arange(300), 4), n_draws=200)
    alone = f1_threshold_range(np.repeat(score, 4), np.repeat(truth, 4), np.arange(1200), n_draws=200)
    assert repeated[1] - repeated[0] == pytest.approx(single[1] - single[0], abs=0.2)
    assert alone[1] - alone[0] < repeated[1] - repeated[0]


def test_few_groups_of_a_class_have_no_range():
    score = np.linspace(0, 1, 40)
    assert f1_threshold_range(score, np.arange(40) >= 36, np.arange(40)) is None
    assert f1_threshold_range(score, np.arange(40) >= 0, np.arange(40)) is None


@pytest.mark.slow
def test_the_population_s_best_threshold_is_within_it_as_often_as_stated():
    n, prevalence, shift = 400, 0.1, 1.5

    def loss(threshold):
        found, false = prevalence * norm.sf(threshold - shift), (1 - prevalence) * norm.sf(threshold)
        return -2 * found / (found + false + prevalence)

    best = minimize_scalar(loss, bounds=(-2, 4), method="bounded").x
    hits = 0
    for seed in range(60):
        score, truth = sample(n, prevalence, shift, seed)
        low, high = f1_threshold_range(score, truth, np.arange(n), n_draws=200, seed=seed)
        hits += low <= best <= high
    assert hits >= 54
