"""Conformal sets: each class is held as often as promised, by simulation and by count."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from skinlab.evaluation.calibration.conformal import (
    ConformalSets,
    conformal_report,
    conformal_sets,
    conformal_thresholds,
    cross_conformal,
    groups_needed,
)
from skinlab.evaluation.predictions import Predictions
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
def test_groups_needed_is_where_the_rank_fits(level, needed):
    assert groups_needed(level) == needed
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
    assert report["coverage"]["overall"]["value"] == pytest.approx(sets[np.arange(360), target].mean())
    for i, name in enumerate(classes[:3]):
        assert report["coverage"][name]["value"] == pytest.approx(sets[target == i, i].mean())
        assert report["coverage"][name]["value"] > 0.8
    assert np.isnan(report["coverage"]["vasc"]["value"])
    assert list(report) == ["level", "unit", "coverage", "image_coverage", "mean_size", "note"]


def test_higher_levels_make_larger_sets():
    p, target = rows((200, 100, 60))
    small, large = (cross_conformal(p, target, group_folds(np.arange(360), target), level) for level in (0.7, 0.95))
    assert (large >= small).all()
    assert large.sum() > small.sum()


@pytest.mark.parametrize(
    ("target", "level", "message"),
    [([0, -1], 0.9, "no label"), ([0], 0.9, "1 label:"), ([0, 1], 90, "between 0 and 1")],
)
def test_mistakes_are_one_line_with_a_remedy(target, level, message):
    with pytest.raises(ValueError, match=message):
        conformal_thresholds(np.full((2, 2), 0.5), np.array(target), level)


def test_empty_sets_are_reported():
    p = np.tile([0.9, 0.1], (40, 1))
    p[:2] = 0.5
    report = conformal_report(p, np.zeros(40, int), np.arange(40), ["a", "b"], 0.9)
    assert "5.0% of the sets are empty" in report["note"]


def lesions(n: int, images: int, rng: np.random.Generator, prefix: str = "l"):
    """Lesions of two classes with several alike images each."""
    target = np.repeat(np.arange(n) % 2, images)
    groups = np.repeat([f"{prefix}{i}" for i in range(n)], images)
    logit = np.repeat(rng.normal(size=n), images) * 1.2 + rng.normal(size=n * images) + 1
    likelihood = 1 / (1 + np.exp(-logit))
    p = np.where(np.eye(2, dtype=bool)[target], likelihood[:, None], 1 - likelihood[:, None])
    return p, target, groups


@pytest.mark.parametrize(("n", "images"), [(20, 10), (60, 4), (120, 2)])
def test_a_new_lesion_is_covered_as_promised(n, images):
    """Thresholds chosen image by image covered .68 to .87 of new lesions at 90 %."""
    rng, by_lesion, by_image = np.random.default_rng(0), [], []
    for _ in range(150):
        p, target, groups = lesions(n, images, rng)
        new, truth, _ = lesions(100, images, rng)
        for groups_used, found in ((groups, by_lesion), (None, by_image)):
            sets = conformal_sets(new, conformal_thresholds(p, target, 0.9, groups_used))
            held = sets[np.arange(len(truth)), truth].reshape(100, images)
            found.append(held.all(1).mean())
    error = np.std(by_lesion) / np.sqrt(150)
    assert 0.9 - 3 * error < np.mean(by_lesion) < 0.9 + 2 / (n / 2 + 1) + 3 * error
    assert np.mean(by_image) < 0.88


def test_the_coverage_has_an_interval_by_lesion():
    p, target, groups = lesions(80, 3, np.random.default_rng(1))
    report = conformal_report(p, target, groups, ["nv", "mel"], 0.9)
    assert report["unit"] == "lesion"
    overall = report["coverage"]["overall"]
    assert overall["low"] < overall["value"] < overall["high"]
    assert report["image_coverage"] > overall["value"]
    few = conformal_report(*lesions(6, 3, np.random.default_rng(1)), ["nv", "mel"], 0.9)["coverage"]["mel"]
    assert np.isnan(few["low"])
    assert few["note"] == "no interval: 3 lesions, at least 5 are needed"


def test_sets_of_a_model_are_text_and_go_through_json():
    p, target, groups = lesions(60, 2, np.random.default_rng(2))
    ids = np.arange(120).astype(str).astype(object)
    rows_ = Predictions(["nv", "mel"], p, target, ids, groups.astype(object), ids, np.zeros(120, int))
    fitted = ConformalSets.fit(rows_, 0.9, "val")
    assert fitted.thresholds == conformal_thresholds(p, target, 0.9, groups).tolist()
    assert (fitted.chosen_on, fitted.groups, fitted.unpromised) == ("val, 60 lesions", [30, 30], [])
    assert ConformalSets(**json.loads(json.dumps(asdict(fitted)))) == fitted
    names = fitted.names(p, ["nv", "mel"])
    assert [len(name.split("|")) if name else 0 for name in names] == conformal_sets(p, fitted.thresholds).sum(
        1
    ).tolist()
    with pytest.raises(ValueError, match=r"coverage of 0.99 needs 99 lesions at least, and there are 60"):
        ConformalSets.fit(rows_, 0.99, "val")
