"""The share of positives under label shift: closed forms, perfect classifiers, and coverage."""

import numpy as np
import pytest

from skinlab.evaluation.thresholds.prevalence import adjusted_count, em_shares, estimate_prevalence

FAST = {"calibration": "temperature", "n_draws": 40}


def scored(n: int, share: float, rng, distance: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two normal classes, and the probabilities of a classifier that was made for equal shares."""
    truth = (np.arange(n) < round(share * n)).astype(int)
    logit = distance * (rng.normal(distance * truth, 1) - distance / 2)
    p = 1 / (1 + np.exp(-logit))
    return np.stack([1 - p, p], 1), truth


@pytest.mark.parametrize("share", [0, 0.03, 0.5, 1])
def test_the_adjusted_count_inverts_the_counting(share: float):
    assert adjusted_count(share * 0.7 + (1 - share) * 0.2, 0.7, 0.2) == pytest.approx(share)


def test_the_adjusted_count_stays_a_share():
    assert adjusted_count(0.1, 0.7, 0.2) == 0
    assert adjusted_count(0.9, 0.7, 0.2) == 1
    assert adjusted_count(0.4, 1, 0) == 0.4, "a perfect classifier's count needs no adjusting"
    assert np.isnan(adjusted_count(0.4, 0.3, 0.3))


@pytest.mark.parametrize("share", [0.1, 0.37, 0.9])
def test_em_finds_the_share_that_made_the_probabilities(share: float):
    # Three kinds of image, whose frequencies in each class are known: the likelihood has its maximum at the truth.
    within = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    prior = np.array([0.8, 0.2])
    posterior = (prior[:, None] * within / (prior @ within)).T
    frequency = np.array([1 - share, share]) @ within
    np.testing.assert_allclose(em_shares(posterior, prior, frequency), [1 - share, share], atol=1e-4)


def test_em_leaves_shares_that_have_not_shifted():
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6]])
    np.testing.assert_allclose(em_shares(p, p.mean(0)), p.mean(0), atol=1e-6)


def test_weights_are_repetitions_and_absent_classes_have_no_share():
    rng = np.random.default_rng(0)
    p, prior, weights = rng.dirichlet([0.5] * 3, 30), np.array([0.5, 0.3, 0.2]), rng.integers(0, 4, 30)
    np.testing.assert_allclose(em_shares(p, prior, weights), em_shares(np.repeat(p, weights, axis=0), prior), atol=1e-9)
    without = em_shares(p, np.array([0.6, 0.4, 0]))
    assert without[2] == 0
    assert without.sum() == pytest.approx(1)
    near = em_shares(p, prior, start=np.array([0.1, 0.1, 0.8]))
    np.testing.assert_allclose(near, em_shares(p, prior), atol=1e-4)


@pytest.mark.parametrize("calibration", ["temperature", "vector"])
def test_a_perfect_classifier_counts_exactly(calibration: str):
    target, pool = np.arange(60) % 3, np.repeat([0, 1, 2], [50, 20, 10])
    found = estimate_prevalence(np.eye(3)[pool], np.eye(3)[target], target, [1, 2], calibration=calibration, n_draws=30)
    for name in ("em", "adjusted_count", "called"):
        assert found[name]["value"] == pytest.approx(30 / 80, abs=1e-6)
        assert found[name]["low"] < 30 / 80 < found[name]["high"]
    np.testing.assert_allclose(found["classes"], [50 / 80, 20 / 80, 10 / 80], atol=1e-6)


def test_both_estimates_correct_what_counting_gets_wrong():
    rng = np.random.default_rng(1)
    (pool, _), (reference, target) = scored(4000, 0.05, rng), scored(1000, 0.3, rng)
    found = estimate_prevalence(pool, reference, target, [1], n_draws=20)
    assert found["called"]["value"] > 0.12
    assert found["em"]["value"] == pytest.approx(0.05, abs=0.02)
    assert found["adjusted_count"]["value"] == pytest.approx(0.05, abs=0.04)
    assert (found["reference_images"], found["reference_positives"], found["images"]) == (1000, 300, 4000)


def test_the_interval_covers_under_label_shift():
    hits = {"em": 0, "adjusted_count": 0, "called": 0}
    for seed in range(25):
        rng = np.random.default_rng(seed)
        (pool, _), (reference, target) = scored(300, 0.1, rng), scored(200, 0.4, rng)
        found = estimate_prevalence(pool, reference, target, [1], seed=seed, **FAST)
        for name in hits:
            hits[name] += found[name]["low"] <= 0.1 <= found[name]["high"]
    assert hits["em"] >= 21, hits
    assert hits["adjusted_count"] >= 21, hits
    assert hits["called"] <= 15, "or there was nothing to correct"


def test_groups_widen_the_interval():
    rng = np.random.default_rng(2)
    (pool, _), (reference, target) = scored(100, 0.3, rng), scored(100, 0.3, rng)
    pool, reference, target = (np.repeat(each, 6, axis=0) for each in (pool, reference, target))
    groups = np.repeat(np.arange(100), 6)
    single = estimate_prevalence(pool, reference, target, [1], **FAST)
    grouped = estimate_prevalence(pool, reference, target, [1], pool_groups=groups, groups=groups, **FAST)
    width = [each["em"]["high"] - each["em"]["low"] for each in (single, grouped)]
    assert width[1] > 1.7 * width[0]
    assert single["em"]["value"] == grouped["em"]["value"]


def test_what_can_t_be_estimated_is_refused():
    p, target = np.full((4, 2), 0.5), np.array([0, 0, 0, 0])
    for pool, labels in ((p, target), (p, target + 1), (p[:0], np.array([0, 1, 0, 1]))):
        with pytest.raises(ValueError, match="needs images, positives and others"):
            estimate_prevalence(pool, p, labels, [1])
