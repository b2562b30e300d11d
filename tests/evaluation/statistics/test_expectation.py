"""A prediction interval holds the result on the next test set as often as it says."""

import numpy as np
import pytest
from scipy.stats import norm

from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.statistics.expectation import NewSet, expect
from skinlab.evaluation.thresholds.operating import BinaryPredictions

NAMES = ("sensitivity", "specificity", "ppv", "f1_positive", "auroc_macro", "pr_auc_positive")


def draw(rng, n, prevalence):
    """Pairs of images of a lesion, whose scores are alike."""
    truth = np.repeat(rng.random(n // 2) < prevalence, 2)
    score = norm.cdf(1.8 * truth - 1.5 + 0.7 * np.repeat(rng.normal(size=n // 2), 2) + 0.7 * rng.normal(size=n))
    return truth.astype(np.int64), score, np.repeat(np.arange(n // 2), 2)


def statistic(truth, score):
    names = ("auroc_macro", "pr_auc_positive")
    ranking = Scorer(np.stack([1 - score, score], 1), truth, ["benign", "malignant"], names=names)
    calls = BinaryPredictions(score >= 0.5, truth == 1)
    return lambda weights: {
        name: value for each in (ranking(weights), calls(weights)) for name, value in each.items() if name in NAMES
    }


def test_a_large_new_set_leaves_the_uncertainty_of_the_estimate_and_a_small_one_adds_its_own():
    truth, score, groups = draw(np.random.default_rng(0), 600, 0.2)
    width = {}
    for n in (60, 600, 100_000):
        found = expect(statistic(truth, score), groups, truth, NewSet(n, 0.2), n_draws=400)
        width[n] = found["specificity"].high - found["specificity"].low
    assert width[60] > 1.8 * width[600] > 1.8 * width[100_000]
    assert width[600] / width[100_000] == pytest.approx(2**0.5, rel=0.25)


def test_the_metric_is_that_of_the_new_prevalence():
    truth, score, groups = draw(np.random.default_rng(1), 600, 0.3)
    found = expect(statistic(truth, score), groups, truth, NewSet(530, 0.057), n_draws=100)
    called = score >= 0.5
    sensitivity, false_alarms = called[truth == 1].mean(), called[truth == 0].mean()
    ppv = 0.057 * sensitivity / (0.057 * sensitivity + 0.943 * false_alarms)
    assert found["sensitivity"].value == pytest.approx(sensitivity)
    assert found["ppv"].value == pytest.approx(ppv)


def test_too_few_groups_have_no_interval():
    truth, score, groups = draw(np.random.default_rng(2), 100, 0.2)
    assert 5 < truth[::2].sum() < 15
    found = expect(statistic(truth, score), groups, truth, NewSet(530, 0.057), n_draws=100)
    assert all(np.isnan(each.low) and "at least 15 are needed" in each.note for each in found.values())


def test_under_twenty_groups_an_interval_has_a_caution():
    truth, score, groups = draw(np.random.default_rng(0), 180, 0.2)
    assert 15 <= truth[::2].sum() < 20
    found = expect(statistic(truth, score), groups, truth, NewSet(530, 0.057), n_draws=100)
    assert all(np.isfinite(each.low) and "under 20" in each.note for each in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("positive_groups", [15, 20])
def test_coverage_with_few_groups(positive_groups):
    """With 5, 8 and 10 groups the AUROC's interval held .78, .85 and .86 of the results, and is not shown."""
    rng, hits = np.random.default_rng(4), []
    for _ in range(300):
        while (drawn := draw(rng, 230, positive_groups / 115))[0][::2].sum() != positive_groups:
            pass
        found = expect(statistic(*drawn[:2]), drawn[2], drawn[0], NewSet(300, 0.1), n_draws=300)["auroc_macro"]
        next_truth, next_score, _ = draw(rng, 300, 0.1)
        hits.append(found.low <= statistic(next_truth, next_score)(np.ones((300, 1)))["auroc_macro"][0] <= found.high)
    print(positive_groups, np.mean(hits))
    assert 0.9 <= np.mean(hits) <= 0.99


@pytest.mark.slow
def test_coverage_of_the_next_test_set():
    """Of 300 simulated studies: 800 images in pairs, 20 % positives; the next set has 530, 5.7 % positives."""
    rng, hits = np.random.default_rng(3), {name: [] for name in NAMES}
    for _ in range(300):
        truth, score, groups = draw(rng, 800, 0.2)
        found = expect(statistic(truth, score), groups, truth, NewSet(530, 0.057), n_draws=300)
        next_truth, next_score, _ = draw(rng, 530, 0.057)
        for name, value in statistic(next_truth, next_score)(np.ones((530, 1))).items():
            if np.isfinite(value[0]):
                hits[name].append(found[name].low <= value[0] <= found[name].high)
    coverage = {name: float(np.mean(each)) for name, each in hits.items()}
    print(coverage)
    assert all(0.92 <= value <= 0.975 for value in coverage.values()), coverage
