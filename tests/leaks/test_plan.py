"""The plan of a leak meter: a fixed test with one image of each lesion, and leaks in the place of training images."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from skinlab.errors import UserError
from skinlab.leaks.plan import LEAKED, NoRoomError, drawn, inject, make_plan
from skinlab.settings.commands.audit import LeakSettings

SIZES = {"train": 30, "val": 10, "test": 10}  # lesions of each class


def manifest(images: int = 2, sizes: dict[str, int] | None = None) -> pd.DataFrame:
    """Lesions of two classes with some images each."""
    rows = [
        {"label": label, "split": split, "group": f"{split} {label} {i}", "image": k}
        for split, n in (sizes or SIZES).items()
        for label in ("mel", "nv")
        for i in range(n)
        for k in range(images)
    ]
    table = pd.DataFrame(rows)
    ids = table["group"] + " " + table.pop("image").astype(str)
    return table.assign(image_id=ids, path=ids + ".png", source="", fold=0, age=50.0)


def leak_settings(**values: Any) -> LeakSettings:
    known: dict[str, Any] = {
        "kinds": ["copies", "same_lesion", "pretraining", "epoch", "threshold"],
        "copies": [0.25, 1.0],
        "same_lesion": [0.5, 1.0],
        "network": "auto",
        "image_size": 32,
        "epochs": 1,
        "pretrain_epochs": 1,
        "n_images": None,
        "seeds": [0],
        "rules": ["f1"],
        "positive": None,
        "base": [],
    }
    return LeakSettings.model_validate(known | values)


def leaked_ids(table: pd.DataFrame) -> set[str]:
    return {each.removeprefix(LEAKED) for each in table["image_id"] if each.startswith(LEAKED)}


def test_the_test_is_one_and_has_one_image_of_each_lesion():
    plan = make_plan(manifest(), leak_settings())
    tests = [each.manifest[each.manifest["split"] == "test"] for each in plan.trainings.values()]
    assert len(tests[0]) == tests[0]["group"].nunique() == 20
    for test in tests[1:]:
        pd.testing.assert_frame_equal(test, tests[0])


def test_leaked_images_stand_in_the_place_of_images_of_their_class():
    plan = make_plan(manifest(), leak_settings())
    for name, n in {"copies_0.25": 5, "copies_1": 20, "same_lesion_0.5": 10, "same_lesion_1": 20}.items():
        table = plan.trainings[name].manifest
        assert len(leaked_ids(table)) == n
        assert table["split"].tolist() == plan.clean["split"].tolist()
        assert table["label"].tolist() == plan.clean["label"].tolist()
        assert table["image_id"].is_unique
        assert table.dtypes.equals(plan.clean.dtypes)


def test_copies_are_of_the_test_and_other_images_are_not():
    plan = make_plan(manifest(), leak_settings())
    test = set(plan.clean.loc[plan.clean["split"] == "test", "image_id"])
    assert leaked_ids(plan.trainings["copies_1"].manifest) == test
    others = plan.trainings["same_lesion_1"].manifest
    assert not leaked_ids(others) & test
    assert set(others.loc[others["image_id"].str.startswith(LEAKED), "group"]) == {each[:-2] for each in test}


def test_what_leaks_at_a_small_share_leaks_at_a_larger_one():
    plan = make_plan(manifest(), leak_settings(copies=[0.25, 0.5], same_lesion=[0.25, 0.5]))
    for kind in ("copies", "same_lesion"):
        small, large = (plan.trainings[f"{kind}_{share}"].manifest for share in ("0.25", "0.5"))
        assert leaked_ids(small) < leaked_ids(large)


def test_nothing_leaked_is_the_clean_training():
    clean = make_plan(manifest(), leak_settings()).clean
    pd.testing.assert_frame_equal(inject(clean, clean.iloc[:0]), clean)


def test_pretrainings_have_one_length_and_the_same_fine_tuning():
    plan = make_plan(manifest(), leak_settings(kinds=["pretraining"]))
    without, with_test = (plan.trainings[name] for name in ("pretrained", "pretrained_on_test"))
    assert without.manifest is with_test.manifest is plan.clean
    assert without.pretraining is not None
    assert with_test.pretraining is not None
    assert not leaked_ids(without.pretraining)
    assert len(leaked_ids(with_test.pretraining)) == 20
    assert len(without.pretraining) == len(with_test.pretraining)


def test_what_can_not_leak_is_not_run_with_the_reason():
    plan = make_plan(manifest(images=1), leak_settings(kinds=["same_lesion"]))
    assert [leak.reason for leak in plan.leaks] == ["no lesion of the test has several images"]
    assert list(plan.trainings) == ["clean"]
    few = manifest(images=1, sizes={"train": 4, "val": 2, "test": 10})
    plan = make_plan(few, leak_settings(kinds=["copies", "pretraining"], copies=[0.25, 1.0]))
    assert [bool(leak.reason) for leak in plan.leaks] == [False, True, True]
    assert "10 images of mel leak, and the training has 4" in plan.leaks[1].reason
    with pytest.raises(NoRoomError, match="lower the share"):
        inject(plan.clean, plan.clean[plan.clean["split"] == "test"])


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"train": 9, "val": 9}, "no test part; set data.test_fraction"),
        ({"train": 9, "test": 9}, "no val part"),
        ({"train": 9, "val": 9, "test": 4}, "the test has 4 of mel, 4 of nv"),
    ],
)
def test_data_that_can_not_be_measured_are_refused(sizes: dict[str, int], words: str):
    with pytest.raises(UserError, match=words):
        make_plan(manifest(sizes=sizes), leak_settings())


def test_drawn_rows_are_whole_groups():
    table = manifest()
    kept = drawn(table, 60)
    assert 50 < len(kept) <= 60
    assert (kept["group"].value_counts() == 2).all()
    assert drawn(table, None) is table


def test_a_draw_leaves_the_shares_of_the_parts_as_they_are():
    table = manifest(sizes={"train": 300, "val": 75, "test": 125})
    groups = table["group"].unique()
    order = np.random.default_rng(0).permutation(len(groups))  # as a split draws its test
    table["split"] = table["group"].map(
        dict(zip(groups, np.where(order < len(groups) // 4, "test", "train"), strict=True))
    )
    assert (drawn(table, 500)["split"] == "test").mean() == pytest.approx(0.25, abs=0.05)
