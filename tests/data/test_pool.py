import numpy as np
import pandas as pd
import pytest

from skinlab.data.audit.duplicates import PAIR
from skinlab.data.pool import later_copies, pool_report, pretraining_rows
from skinlab.errors import UserError

SPLITS = ["train", "train", "val", "test", "pool", "pool", "pool", "pool", "pool", "pool", ""]
GROUPS = ["a", "b", "c", "d", "c", "p", "p", "p", "q", "a", "d"]


@pytest.fixture
def manifest():
    return pd.DataFrame({"split": SPLITS, "group": GROUPS})


def pairs(*found):
    copies = np.zeros(len(found), PAIR)
    for record, (a, b) in zip(copies, found, strict=True):
        record["a"], record["b"] = a, b
    return copies


@pytest.mark.parametrize(("pool", "expected"), [("all", [0, 1, 5, 7, 8, 9]), ("pool", [5, 7, 8, 9]), ("train", [0, 1])])
def test_pretraining_sees_neither_held_out_groups_nor_a_copy_twice(manifest, pool, expected):
    # 4 is of the validation row's group; 6 a copy of 5; 9 a copy of a training image, which leaks nothing.
    chosen = pretraining_rows(manifest, pairs((0, 9), (2, 4), (5, 6)), pool)
    assert np.flatnonzero(chosen).tolist() == expected


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
        pretraining_rows(pd.DataFrame({"split": ["val", "test"], "group": ["a", "b"]}), pairs(), pool)
