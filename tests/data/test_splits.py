import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from skinlab.data.manifest import build_manifest
from skinlab.data.splits import assign_folds, check_groups, check_sources, select_fold, source_report, split_hash
from skinlab.errors import UserError


def random_manifest(seed, n_groups=300, n_classes=5, purity=0.9, size=3.0):
    """Groups of uneven size and skewed classes, a few of them with images of several classes."""
    rng = np.random.default_rng(seed)
    sizes = 1 + rng.poisson(rng.exponential(size, n_groups))
    share = rng.dirichlet(np.full(n_classes, 2.0))
    group = np.repeat(np.arange(n_groups), sizes)
    main = rng.choice(n_classes, n_groups, p=share)
    label = np.where(rng.random(len(group)) < purity, main[group], rng.choice(n_classes, len(group), p=share))
    ids = [f"{number:05d}" for number in range(len(group))]
    labels = [f"c{number}" for number in label]
    return build_manifest(pd.DataFrame({"image_id": ids, "path": ids, "label": labels, "group": group}))


def tiny(labels, **columns):
    ids = [f"{number:02d}" for number in range(len(labels))]
    return build_manifest(pd.DataFrame({"image_id": ids, "path": ids, "label": labels, "group": ids, **columns}))


def spread(labels, folds):
    """The standard deviation over folds of each class's share, averaged over classes: what scikit-learn minimises."""
    table = pd.crosstab(labels, folds).to_numpy()
    return (table / table.sum(axis=1, keepdims=True)).std(axis=1).mean()


@pytest.mark.parametrize("seed", range(8))
def test_folds_are_as_even_as_scikit_learns_and_cut_no_group(seed):
    n_folds = 2 + seed % 5
    purity = (1.0, 0.9, 0.4)[seed % 3]
    manifest = random_manifest(seed, purity=purity, size=(0.5, 3.0, 10.0)[seed % 3])
    split = assign_folds(manifest, n_folds=n_folds, test_fraction=0, seed=seed)
    assert split.groupby("group")["fold"].nunique().max() == 1
    assert sorted(split["fold"].unique()) == list(range(n_folds))
    reference = np.empty(len(manifest), dtype=int)
    oracle = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    for fold, (_, rows) in enumerate(oracle.split(manifest, manifest["label"], manifest["group"])):
        reference[rows] = fold
    assert spread(split["label"], split["fold"]) <= spread(manifest["label"], reference) + 1e-3


def test_the_test_part_is_locked_and_has_its_share_of_every_class():
    manifest = random_manifest(1, n_groups=2000)
    split = assign_folds(manifest, n_folds=5, test_fraction=0.2, seed=3)
    check_groups(split)
    share = (split["split"] == "test").groupby(split["label"]).mean()
    assert share.between(0.19, 0.21).all()
    assert (split.loc[split["split"] == "test", "fold"] == -1).all()
    other = assign_folds(manifest, n_folds=3, test_fraction=0.2, seed=3)
    assert (other["split"] == split["split"]).all()
    for fold in range(5):
        check_groups(select_fold(split, fold))


def test_the_result_depends_on_the_seed_and_not_on_the_order_of_rows():
    manifest = random_manifest(2)
    split = assign_folds(manifest, seed=1)
    shuffled = assign_folds(manifest.sample(frac=1, random_state=0), seed=1)
    pd.testing.assert_frame_equal(split, shuffled)
    assert split_hash(split) == split_hash(split.sample(frac=1, random_state=0))
    assert split_hash(split) != split_hash(assign_folds(manifest, seed=2))
    assert split_hash(split) != split_hash(select_fold(split, 0))
    assert (manifest["fold"] == -1).all()


def test_what_a_reader_noted_stays_with_the_manifest():
    manifest = random_manifest(2)
    manifest.attrs["not_in_table"] = ["x.jpg"]
    assert select_fold(assign_folds(manifest.sample(frac=1, random_state=0)), 0).attrs == manifest.attrs


def test_no_test_part_on_request():
    split = assign_folds(random_manifest(3), test_fraction=0)
    assert (split["split"] == "train").all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_folds": 5}, "for 5 folds and a test part: rare has 5, needed are 6; lower data.n_folds"),
        ({"n_folds": 6, "test_fraction": 0}, "for 6 folds of the training part: rare has 5, needed are 6"),
    ],
)
def test_a_class_of_too_few_groups_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        assign_folds(tiny(["often"] * 40 + ["rare"] * 5), **settings)


def test_images_of_one_group_count_once_for_a_class():
    manifest = tiny(["often"] * 40 + ["rare"] * 20).assign(group=[str(n) for n in range(40)] + ["one", "two"] * 10)
    with pytest.raises(UserError, match="rare has 2"):
        assign_folds(manifest)


def test_select_fold_makes_the_fold_the_validation_part():
    split = assign_folds(random_manifest(4), n_folds=4)
    chosen = select_fold(split, 2)
    assert ((chosen["split"] == "val") == (split["fold"] == 2)).all()
    assert (chosen["fold"] == split["fold"]).all()
    for fold in (4, -1, None):
        with pytest.raises(UserError, match=f"data.fold={fold} is out of range: .*n_folds=4 use 0 to 3"):
            select_fold(split, fold)


def test_unlabeled_rows_are_the_pool_but_not_beside_the_test_part(caplog):
    manifest = tiny(["a", "b"] * 20 + [""] * 4, split=[""] * 42 + ["pool"] * 2)
    split = assign_folds(manifest)
    assert (split.loc[split["label"] == "", "split"] == "pool").all()
    in_test = split.loc[split["split"] == "test", "group"].iloc[0]
    near_duplicate = manifest["group"].mask(manifest["image_id"] == "43", in_test)
    with caplog.at_level(logging.WARNING):
        split = assign_folds(manifest.assign(group=near_duplicate))
    # The dealing of the labelled rows is the same, so the image shares a group with the test part and is used nowhere.
    assert split.set_index("image_id")["split"].loc["43"] == ""
    assert "1 pool images share a group with test images" in caplog.text
    check_groups(split)


def test_a_table_without_labels_is_all_pool():
    assert (assign_folds(tiny(["", "", ""]))["split"] == "pool").all()


def test_a_users_own_pool_loses_what_shares_a_group_with_the_test(caplog):
    own = ["test"] * 4 + ["train"] * 20 + ["pool", "pool"]
    manifest = tiny(["a", "b"] * 12 + ["", ""], split=own)
    manifest.loc[24, "group"] = manifest.loc[0, "group"]
    split = assign_folds(manifest).set_index("image_id")["split"]
    assert (split["24"], split["25"]) == ("", "pool")
    assert "1 pool images share a group with test images" in caplog.text


def test_what_others_hold_out_is_used_nowhere_and_neither_are_its_copies(caplog):
    manifest = tiny(["a", "b"] * 20 + [""] * 3, split=[""] * 40 + ["pool", "pool", "held_out"])
    alone = assign_folds(manifest[manifest["split"] != "held_out"])
    assert split_hash(assign_folds(manifest)) == split_hash(alone)
    manifest.loc[41, "group"] = manifest.loc[42, "group"]
    split = assign_folds(manifest).set_index("image_id")["split"]
    assert (split["40"], split["41"], split["42"]) == ("pool", "", "held_out")
    assert "1 pool images share a group with test images" in caplog.text


def test_a_users_own_split_is_kept():
    own = ["test"] * 4 + ["train"] * 20 + ["pool", ""]
    split = assign_folds(tiny(["a", "b"] * 12 + ["", ""], split=own), n_folds=5).set_index("image_id")
    assert (split.loc[[f"{n:02d}" for n in range(24)], "split"] == own[:24]).all()
    assert (split.loc[["24", "25"], "split"] == "pool").all()
    assert split.loc[split["split"] == "train", "fold"].value_counts().to_dict() == dict.fromkeys(range(5), 4)
    assert (split.loc[split["split"] != "train", "fold"] == -1).all()


def test_a_users_own_validation_part_is_the_only_fold():
    split = assign_folds(tiny(["a", "b"] * 2, split=["train", "train", "val", "val"]), n_folds=5)
    assert (split["fold"] == -1).all()
    pd.testing.assert_frame_equal(select_fold(split, 0), split)
    with pytest.raises(UserError, match="has a val part"):
        select_fold(split, 1)


@pytest.mark.parametrize(
    ("labels", "own", "message"),
    [
        (["a", "b"], ["test", "val"], "has test, val and no train"),
        (["a", "b"], ["train", ""], "1 labelled image has no split while others do: 01"),
        (["a", ""], ["train", "test"], "1 image of train, val, test without a label: 01"),
    ],
)
def test_a_users_split_with_holes_is_refused(labels, own, message):
    with pytest.raises(UserError, match=message):
        assign_folds(tiny(labels, split=own))


@pytest.mark.parametrize("pair", [("train", "val"), ("train", "test"), ("val", "test"), ("pool", "test")])
def test_a_cut_group_is_refused_whoever_cut_it(pair):
    manifest = tiny(["a"] * 3, split=[*pair, "train"]).assign(group=["x", "x", "y"])
    with pytest.raises(UserError, match=r"1 group is in two parts of .*: x; keep each group in one part"):
        check_groups(manifest)


def test_groups_may_be_in_the_pool_and_in_training():
    check_groups(tiny(["a"] * 4, split=["pool", "train", "train", ""]).assign(group="x"))


def of_sources(sources, labels=None, **columns):
    labels = ["a", "b"] * (len(sources) // 2) if labels is None else labels
    return tiny(labels, source=sources, **columns)


def test_by_source_each_fold_is_a_source_and_the_test_part_that_of_random_folds():
    manifest = of_sources(["x"] * 40 + ["y"] * 20 + ["z"] * 20)
    split = assign_folds(manifest, n_folds=3, by="source")
    train = split[split["split"] == "train"]
    assert (train["source"].map({"x": 0, "y": 1, "z": 2}) == train["fold"]).all()
    random = assign_folds(manifest, n_folds=3)
    assert (split["split"] == random["split"]).all()
    held_out = select_fold(split, 1)
    assert set(held_out["source"][held_out["split"] == "val"]) == {"y"}
    assert "y" not in set(held_out["source"][held_out["split"] == "train"])


def test_a_group_of_two_sources_is_kept_together_with_most_of_its_images_and_counted():
    group = [f"g{number}" for number in range(40)]
    group[18:22] = ["both"] * 4  # two images of x, two of y; and one more of y
    group[22] = "both"
    split = assign_folds(of_sources(["x"] * 20 + ["y"] * 20, group=group), n_folds=2, test_fraction=0, by="source")
    assert set(split["fold"][split["group"] == "both"]) == {1}
    check_groups(select_fold(split, 0))
    expected = {"folds": {"x": 0, "y": 1}, "groups_across_sources": 1, "images_in_folds_of_other_sources": 2}
    assert source_report(split) == expected


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (of_sources(["x"] * 10 + [""] * 2), "2 labelled images have no source; add the column source"),
        (of_sources(["x"] * 10 + ["y"] * 10 + ["z"] * 2), r"there are 3 sources \(x, y, z\); set data.n_folds=3"),
        (of_sources(["x"] * 10), r"there are 1 source \(x\); use data.split=random"),
        (of_sources(["x"] * 4 + ["y"] * 4, list("aaaaaaab")), "b is of y alone"),
        (of_sources(["x", "y"] * 4, split=["train", "val"] * 4), "the split column has a val part already"),
    ],
)
def test_sources_that_are_no_folds_are_refused_before_images_are_read(manifest, message):
    with pytest.raises(UserError, match=message):
        check_sources(manifest, 2)
