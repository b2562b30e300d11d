"""A submission's faults, what is expected of it, and the noise of a change."""

import numpy as np
import pandas as pd
import pytest

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.submission_check import (
    AppliedThreshold,
    NewTest,
    change_error,
    expected_calls,
    explaining_prevalence,
    find_faults,
    outlook,
)
from skinlab.evaluation.thresholds.choice import choose_threshold, cross_fitted_shares


def view(n=400, prevalence=0.2, seed=0):
    rng = np.random.default_rng(seed)
    target = (rng.random(n) < prevalence).astype(np.int64)
    score = 1 / (1 + np.exp(-(rng.normal(size=n) + 2.5 * target - 2)))
    names = np.array([f"i{k}" for k in range(n)], object)
    return Predictions(
        ["0", "1"], np.stack([1 - score, score], 1), target, names, names, np.full(n, "", object), np.full(n, -1)
    )


def frame(ids, labels):
    return pd.DataFrame({"ID": ids, "label": labels})


@pytest.mark.parametrize(
    ("ids", "labels", "faults"),
    [
        ("abc", "101", []),
        ("cab", "101", []),
        ("aab", "101", ["1 id twice: a", "1 id missing: c"]),
        ("ab", "10", ["1 id missing: c"]),
        ("abcd", "1011", ["1 id of no test image: d"]),
        ("abc", ["1.0", "", "2"], ["3 labels are neither 0 nor 1: 1.0, '', 2"]),
        ("abc", ["1.0", "0.0", "0"], ["labels are 0.0 and 1.0: write them as whole numbers, such as by astype(int)"]),
        (["a ", "b", "c"], "101", ["1 id missing: a", "1 id of no test image: 'a '"]),
    ],
)
def test_faults(ids, labels, faults):
    assert find_faults(frame(list(ids), list(labels)), list("abc")) == faults


def test_expected_f1_rises_with_the_share_of_positives_and_the_threshold_falls():
    found = outlook(view(), NewTest(300, 60, 300), n_draws=200, level=0.95, seed=0)
    values = [row["f1"]["value"] for row in found.rows]
    thresholds = [row["best_threshold"] for row in found.rows]
    assert values == sorted(values)
    assert thresholds == sorted(thresholds, reverse=True)
    assert found.low <= found.threshold <= found.high
    assert found.f1.low < found.f1.value < found.f1.high
    (own,) = [row for row in found.rows if row["prevalence"] == pytest.approx(found.prevalence)]
    assert own["f1"]["value"] == pytest.approx(found.f1.value)


def test_results_on_new_tests_are_within_what_is_expected():
    """F1 and the number of calls on 60 new sets of 300 images from the same population."""
    found = outlook(view(3000), NewTest(300, 60, 300, [0.2]), n_draws=400, level=0.95, seed=0)
    low, high = expected_calls(found.called, 3000, 300, 0.95)
    inside = called = 0
    for seed in range(1, 61):
        new = view(300, seed=seed)
        predicted, truth = new.probabilities[:, 1] >= found.threshold, new.target == 1
        f1 = 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum())
        inside += found.f1.low <= f1 <= found.f1.high
        called += low <= predicted.sum() <= high
    assert inside >= 53
    assert called >= 53


def test_f1_is_expected_at_the_threshold_of_the_file():
    rows, settings = view(2000), {"n_draws": 200, "level": 0.95, "seed": 0}
    truth, above = rows.target == 1, rows.probabilities[:, 1] >= 0.8
    best, own = (outlook(rows, NewTest(300, 60, 300), each, **settings) for each in (None, AppliedThreshold(0.8)))
    assert own.f1.value == pytest.approx(2 * (above & truth).sum() / (above.sum() + truth.sum()))
    assert own.called == above.mean() < best.called
    assert (own.best_threshold, own.best_f1) == (best.threshold, pytest.approx(best.f1.value))
    assert own.best_f1 > own.f1.value
    assert own.discernible
    assert not best.discernible
    neighbour = AppliedThreshold(np.nextafter(best.threshold, 0))  # another number, the same calls
    same = outlook(rows, NewTest(300, 60, 300), neighbour, **settings)
    assert (same.f1, same.called, same.discernible) == (best.f1, best.called, False)


def test_f1_at_a_threshold_chosen_on_the_same_images_is_cross_fitted():
    """Among 300 images the best threshold of scores without information finds F1 by luck."""
    rng, gains = np.random.default_rng(0), []
    for seed in range(4):
        rows = view(300, seed=seed)
        noise = rng.random(300)
        rows = rows.with_probabilities(np.stack([1 - noise, noise], 1))
        score, truth = rows.probabilities[:, 1], rows.target == 1
        value = choose_threshold(score, truth, "specificity>=0.9")
        settings = {"n_draws": 100, "level": 0.95, "seed": 0}
        chosen = outlook(rows, NewTest(300, 60, 300), AppliedThreshold(value, "specificity>=0.9"), **settings)
        shares = cross_fitted_shares(score, truth, rows.group, "specificity>=0.9", seed=0)
        assert chosen.called == pytest.approx(shares.mean())
        assert chosen.cross_fitted
        best = outlook(rows, NewTest(300, 60, 300), **settings)
        at_best = score >= best.threshold
        gains.append(2 * (at_best & truth).sum() / (at_best.sum() + truth.sum()) - best.f1.value)
    assert min(gains) >= 0
    assert np.mean(gains) > 0.02


def test_the_share_of_positives_that_explains_the_calls_is_a_row():
    rows, settings = view(2000), {"n_draws": 100, "level": 0.95, "seed": 0}
    found = outlook(rows, NewTest(300, 130, 300), **settings)
    assert found.explaining > 0.3
    assert [row["prevalence"] for row in found.rows].count(found.explaining) == 1
    inside = outlook(rows, NewTest(300, round(300 * found.called), 300), **settings)
    assert inside.explaining is None
    assert len(inside.rows) == len(found.rows) - 1


def test_more_calls_are_explained_by_more_positives():
    rows = view(20_000)
    above, truth = rows.probabilities[:, 1] >= 0.5, rows.target == 1
    assert explaining_prevalence(above, truth, above.mean()) == pytest.approx(truth.mean())
    assert explaining_prevalence(above, truth, 0.6) > 0.6
    assert explaining_prevalence(above, truth, 0.0) is None
    assert explaining_prevalence(np.zeros(20_000), truth, 0.1) is None


def test_the_noise_of_a_change_is_that_of_simulated_changes():
    """Add images that are positive with probability F1 / 2 and take as many away, a thousand times."""
    rng = np.random.default_rng(0)
    n_positive, n_called, f1, n_changed = 60, 80, 0.6, 20
    found = f1 * (n_positive + n_called) / 2
    added, gone = (rng.binomial(n_changed // 2, f1 / 2, 4000) for _ in range(2))
    change = 2 * (found + added - gone) / (n_positive + n_called) - f1
    assert change_error(n_changed, n_called, n_positive, f1) == pytest.approx(change.std(), rel=0.05)
    assert change_error(0, n_called, n_positive, f1) == 0
