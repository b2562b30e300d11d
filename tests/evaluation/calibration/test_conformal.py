"""Conformal sets: each class is held as often as promised, by simulation and by count."""

import numpy as np
import pytest

from skinlab.evaluation.calibration.conformal import (
    conformal_report,
    conformal_sets,
    conformal_thresholds,
    cross_conformal,
    rows_needed,
)
from skinlab.evaluation.statistics.folds import group_folds


def rows(support, seed: int = 0, skew=(2.0, 0.7, 0.2)):
    """A model that is good at its first class and poor at its last."""
    rng = np.random.default_rng(seed)
    target = np.repeat(np.arange(len(support)), support)
    logits = rng.normal(0, 1, (len(target), len(support)))
    logits[np.arange(len(target)), target] += np.array(skew)[target]
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), target


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_every_class_is_covered_as_promised(level):
    coverage = []
    for seed in range(60):
        thresholds = conformal_thresholds(*rows((200, 60, 30), seed), level)
        p, target = rows((300, 300, 300), seed + 1000)
        held = conformal_sets(p, thresholds)[np.arange(900), target]
        coverage.append([held[target == c].mean() for c in range(3)])
    mean, error = np.mean(coverage, axis=0), np.std(coverage, axis=0) / np.sqrt(60)
    assert (mean > level - 3 * error).all()
    assert (mean < level + 1 / np.array([201, 61, 31]) + 3 * error).all()


def test_one_threshold_for_all_would_not_do():
    p, target = rows((900, 60, 40))
    shared = np.full(3, np.quantile(p[np.arange(1000), target], 0.1))
    held = conformal_sets(*[rows((500,) * 3, 1)[0], shared])[np.arange(1500), np.repeat(np.arange(3), 500)]
    assert held[1000:].mean() < 0.8  # the rare, hard class pays


def test_the_threshold_is_the_quantile_worked_by_hand():
    p = np.array([0.05, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
    # ceil(11 * 0.8) = 9 of 10 rows must be held: all but the least.
    assert conformal_thresholds(np.stack([p, 1 - p], 1), np.zeros(10, int), 0.8)[0] == 0.3
    # ceil(11 * 0.9) = 10.
    assert conformal_thresholds(np.stack([p, 1 - p], 1), np.zeros(10, int), 0.9)[0] == 0.05


@pytest.mark.parametrize(("level", "needed"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_rows_needed_is_where_the_rank_fits(level, needed):
    assert rows_needed(level) == needed
    assert np.ceil((needed + 1) * level - 1e-9) <= needed
    assert np.ceil(needed * level - 1e-9) > needed - 1


def test_rare_classes_take_the_threshold_of_all_rows_and_the_note_says_so():
    p, target = rows((60, 40, 5))
    thresholds = conformal_thresholds(p, target, 0.9)
    likelihood = p[np.arange(105), target]
    assert thresholds[2] == np.sort(likelihood)[105 - int(np.ceil(106 * 0.9))]
    assert thresholds[0] != thresholds[2]
    report = conformal_report(p, target, np.arange(105), ["nv", "mel", "df"], 0.9)
    assert "df" in report["note"]
    assert "mel" not in report["note"]


def test_just_enough_rows_make_a_threshold_of_their_own():
    p, target = rows((60, 9, 8))
    thresholds = conformal_thresholds(p, target, 0.9)
    assert thresholds[1] == p[target == 1, 1].min()
    assert thresholds[2] != p[target == 2, 2].min()


def test_too_few_rows_altogether_hold_everything():
    p, target = rows((3, 2, 1))
    assert conformal_thresholds(p, target, 0.9).tolist() == [0, 0, 0]
    assert conformal_sets(p, np.zeros(3)).all()


def test_sets_come_from_other_groups():
    p, target = rows((60, 60, 60))
    groups = np.arange(180) // 2
    folds = group_folds(groups, target, 5, 3)
    sets = cross_conformal(p, target, folds, 0.9)
    for fold in range(5):
        held = folds == fold
        assert (sets[held] == conformal_sets(p[held], conformal_thresholds(p[~held], target[~held]))).all()


def test_the_report_counts_what_the_sets_hold():
    p, target = rows((200, 100, 60), 5)
    classes = ["nv", "mel", "bcc", "vasc"]
    p = np.hstack([p * 0.999, np.full((360, 1), 0.001)])
    report = conformal_report(p, target, np.arange(360), classes, 0.9, seed=1)
    sets = cross_conformal(p, target, group_folds(np.arange(360), target, seed=1), 0.9)
    assert report["mean_size"] == pytest.approx(sets.sum() / 360)
    assert report["coverage"]["overall"] == pytest.approx(sets[np.arange(360), target].mean())
    for i, name in enumerate(classes[:3]):
        assert report["coverage"][name] == pytest.approx(sets[target == i, i].mean())
        assert report["coverage"][name] > 0.8
    assert np.isnan(report["coverage"]["vasc"])
    assert list(report) == ["level", "coverage", "mean_size", "note"]


def test_higher_levels_make_larger_sets():
    p, target = rows((200, 100, 60))
    small, large = (cross_conformal(p, target, group_folds(np.arange(360), target), level) for level in (0.7, 0.95))
    assert (large >= small).all()
    assert large.sum() > small.sum()


@pytest.mark.parametrize(
    ("target", "level", "message"),
    [([0, -1], 0.9, "no label"), ([0], 0.9, "1 labels"), ([0, 1], 90, "between 0 and 1")],
)
def test_mistakes_are_one_line_with_a_remedy(target, level, message):
    with pytest.raises(ValueError, match=message):
        conformal_thresholds(np.full((2, 2), 0.5), np.array(target), level)


def test_empty_sets_are_reported():
    p = np.tile([0.9, 0.1], (40, 1))
    p[:2] = 0.5
    report = conformal_report(p, np.zeros(40, int), np.arange(40), ["a", "b"], 0.9)
    assert "5.0% of the sets are empty" in report["note"]
