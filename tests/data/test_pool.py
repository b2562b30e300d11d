import numpy as np
import pandas as pd
import pytest

from skinlab.data.audit.duplicates import PAIR
from skinlab.data.pool import UNLABELED, later_copies, pool_report, pretraining_rows
from skinlab.errors import UserError

SPLITS = ["train", "train", "val", "test", "pool", "pool", "pool", "pool", "pool", "pool", ""]
GROUPS = ["a", "b", "c", "d", "c", "p", "p", "p", "q", "a", "d"]


@pytest.fixture
def manifest():
    return pd.DataFrame({"split": SPLITS, "group": GROUPS, "fold": [0, 0, 1, *[-1] * 8]})


def pairs(*found):
    copies = np.zeros(len(found), PAIR)
    for record, (a, b) in zip(copies, found, strict=True):
        record["a"], record["b"] = a, b
    return copies


@pytest.mark.parametrize(("pool", "expected"), [("all", [0, 1, 5, 7, 8, 9]), ("pool", [5, 7, 8]), ("train", [0, 1])])
def test_pretraining_sees_neither_held_out_groups_nor_a_copy_twice(manifest, pool, expected):
    # 4 is of the validation row's group; 6 a copy of 5; 9 a copy of a training image, which leaks nothing in this fold.
    chosen = pretraining_rows(manifest, pairs((0, 9), (2, 4), (5, 6)), pool)
    assert np.flatnonzero(chosen).tolist() == expected


def test_the_pool_alone_serves_every_fold(manifest):
    chosen = pretraining_rows(manifest, pairs(), "pool")
    for fold in (0, 1):
        split = manifest["split"].where(manifest["fold"] < 0, np.where(manifest["fold"] == fold, "val", "train"))
        assert (pretraining_rows(manifest.assign(split=split), pairs(), "pool") == chosen).all()
    assert not manifest["group"][chosen].isin(manifest["group"][manifest["fold"] >= 0]).any()


def test_semi_supervision_has_the_hidden_labels_beside_the_images_without_any(manifest):
    chosen = pretraining_rows(manifest, pairs(), UNLABELED)
    assert chosen[pretraining_rows(manifest, pairs(), "pool")].all()
    free = (manifest["split"] == "pool") & ~manifest["group"].isin(manifest["group"][manifest["split"] == "val"])
    assert (chosen == free.to_numpy()).all()


def test_a_pool_of_hidden_labels_is_that_of_its_fold(manifest):
    hidden = manifest.assign(fold=[0, 0, 1, -1, 2, 2, 2, 2, 2, 2, -1])
    assert np.flatnonzero(pretraining_rows(hidden, pairs(), "pool")).tolist() == [5, 6, 7, 8, 9]


def test_of_a_chain_of_copies_one_stays():
    assert later_copies(pairs((3, 4), (1, 3), (0, 2)), np.ones(5, bool)).tolist() == [False, False, True, True, True]
    assert not later_copies(pairs(), np.ones(5, bool)).any()


def test_the_report_counts_what_is_left_out(manifest):
    report = pool_report(manifest, pairs((2, 4), (5, 6), (6, 7)))
    assert report == {"images": 6, "held_out_groups": 1, "copies": 2}


@pytest.mark.parametrize(
    ("pool", "complaint"),
    [("pol", r"pool=pol is unknown \(did you mean pool\?\)"), ("pool", "data.label_budget"), ("train", "pool=all")],
)
def test_an_empty_pool_or_an_unknown_one_is_refused(pool, complaint):
    with pytest.raises(UserError, match=complaint):
        pretraining_rows(pd.DataFrame({"split": ["val", "test"], "group": ["a", "b"], "fold": [0, -1]}), pairs(), pool)
