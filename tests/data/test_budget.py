from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from skinlab.data.budget import apply_budget, check_budget
from skinlab.data.splits import assign_folds, check_groups, select_fold
from skinlab.errors import UserError


@pytest.fixture(scope="module")
def manifest():
    """800 groups of one to four images, skewed classes, some groups of two classes."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(800), rng.integers(1, 5, 800))
    main = rng.choice(["nv", "mel", "df"], 800, p=[0.8, 0.17, 0.03])
    label = np.where(rng.random(len(group)) < 0.97, main[group], "mel")
    ids = [f"{number:05d}" for number in range(len(group))]
    frame = pd.DataFrame({"image_id": ids, "label": label, "group": group.astype(str), "split": "", "fold": -1})
    return select_fold(assign_folds(frame, n_folds=4, test_fraction=0.2), 0)


def kept(manifest, budget, seed=0):
    rows = apply_budget(manifest, budget, seed)
    return set(rows["image_id"][rows["split"] == "train"])


def test_all_labels_change_nothing(manifest):
    for budget in (1, 1.0):
        pd.testing.assert_frame_equal(apply_budget(manifest, budget), manifest)


@pytest.mark.parametrize("budget", [0.001, 0.1, 0.5, 60, 700])
def test_training_rows_move_to_the_pool_and_nothing_else_does(manifest, budget):
    rows = apply_budget(manifest, budget)
    hidden = rows["hidden_label"] != ""
    assert (rows["split"][hidden] == "pool").all()
    assert (rows["label"][hidden] == "").all()
    assert (rows["hidden_label"][hidden] == manifest["label"][hidden]).all()
    assert (manifest["split"][hidden] == "train").all()
    assert (rows["fold"] == manifest["fold"]).all()
    pd.testing.assert_frame_equal(rows[~hidden].drop(columns="hidden_label"), manifest[~hidden])
    train = rows[rows["split"] == "train"]
    assert not train["group"].isin(rows["group"][hidden]).any()
    assert set(train["label"]) == {"nv", "mel", "df"}
    check_groups(rows)


@pytest.mark.parametrize("seed", range(3))
def test_budgets_are_nested(manifest, seed):
    chosen = [kept(manifest, budget, seed) for budget in (0.001, 0.01, 0.02, 0.1, 0.3, 0.9, 1.0)]
    chosen += [kept(manifest, budget, seed) for budget in (50, 200, 900)]
    chosen.sort(key=len)
    assert all(small <= large for small, large in pairwise(chosen))
    assert len(chosen[0]) < len(chosen[-1]) / 50


@pytest.mark.parametrize("budget", [0.05, 0.25, 0.6])
def test_a_share_is_that_share_of_every_class(manifest, budget):
    train = manifest[manifest["split"] == "train"]
    rarity = train["label"].map(train["label"].value_counts())
    groups = train.assign(rarity=rarity).sort_values("rarity").drop_duplicates("group")  # its rarest class counts
    before = groups.groupby("label")["group"].nunique()
    labelled = set(train["group"][train["image_id"].isin(kept(manifest, budget))])
    after = groups[groups["group"].isin(labelled)].groupby("label")["group"].nunique()
    assert ((after - budget * before).abs() <= 1).all()


def test_a_number_is_kept_to_within_a_group(manifest):
    for budget in (30, 100, 555):
        assert budget - 4 < len(kept(manifest, budget)) <= budget
    total = int((manifest["split"] == "train").sum())
    assert len(kept(manifest, total)) == total


def test_the_smallest_share_is_a_group_of_each_class(manifest):
    labelled = apply_budget(manifest, 1e-6).query("split == 'train'")
    assert labelled["group"].nunique() == 3


def test_the_seed_alone_chooses(manifest):
    assert kept(manifest, 0.1) == kept(manifest.sample(frac=1, random_state=0), 0.1)
    assert kept(manifest, 0.1) != kept(manifest, 0.1, seed=1)
    fewer = manifest[manifest["group"] != sorted(set(manifest["group"][manifest["split"] == "train"]))[0]]
    assert len(kept(manifest, 0.3) ^ kept(fewer, 0.3)) < 12


@pytest.mark.parametrize(
    ("budget", "complaint"),
    [
        (0, "label_budget=0 is no budget"),
        (-3, "label_budget=-3 is no budget"),
        (2.5, "label_budget=2.5 is no budget"),
        (float("nan"), "is no budget"),
        (float("inf"), "is no budget"),
        (10**6, "has 1236 labelled images"),
        (2, "label_budget=2 is too small: one group of each class has [3-9] images"),
    ],
)
def test_a_budget_out_of_range_is_refused_in_one_line(manifest, budget, complaint):
    with pytest.raises(UserError, match=complaint) as raised:
        apply_budget(manifest, budget)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("budget", [1, 1.0, 0.001, 3, 700])
def test_what_may_fit_some_split_passes_the_early_look(manifest, budget):
    check_budget(manifest.assign(split=""), budget)


@pytest.mark.parametrize(
    ("budget", "complaint"),
    [(2.5, "2.5 is no budget"), (float("inf"), "inf is no budget"), (2, "3 classes"), (3000, "at most 2058")],
)
def test_what_fits_no_split_is_refused_early(manifest, budget, complaint):
    with pytest.raises(UserError, match=complaint) as raised:
        check_budget(manifest.assign(split=""), budget)
    assert "\n" not in str(raised.value)


def test_images_without_labels_have_nothing_to_hide(manifest):
    check_budget(manifest.assign(label=""), 1.0)
