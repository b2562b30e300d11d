import logging

import pandas as pd
import pytest

from skinlab.data.manifest import COLUMNS, build_manifest, class_names, relabel
from skinlab.errors import UserError


def rows(**columns):
    return pd.DataFrame({"image_id": ["b", "a", "c"], "path": ["/b", "/a", "/c"], "group": ["1", "1", "2"], **columns})


def test_a_manifest_is_sorted_complete_and_keeps_only_its_own_columns():
    manifest = build_manifest(rows(label=["nv", None, "mel"], dx_type="histo", age=["50", "", "unknown"], sex="male"))
    assert list(manifest.columns) == [*COLUMNS, "age", "sex"]
    assert manifest["image_id"].tolist() == ["a", "b", "c"]
    assert manifest["label"].tolist() == ["", "nv", "mel"]
    assert manifest["age"].isna().tolist() == [True, False, True]
    assert manifest["fold"].tolist() == [-1, -1, -1]
    assert manifest["fold"].dtype == "int64"
    assert manifest.index.tolist() == [0, 1, 2]


def test_building_twice_changes_nothing():
    frame = rows(label="nv")
    frame.attrs["not_in_table"] = ["x.jpg"]
    once = build_manifest(frame)
    twice = build_manifest(once)
    pd.testing.assert_frame_equal(once, twice)
    assert twice.attrs == {"not_in_table": ["x.jpg"]}


def test_an_image_without_a_group_is_its_own_with_one_warning(caplog):
    with caplog.at_level(logging.WARNING):
        manifest = build_manifest(rows(label="nv").assign(group=["1", "", ""]))
    assert manifest["group"].tolist() == ["a", "1", "c"]
    assert [record.getMessage().split(" images")[0] for record in caplog.records] == ["2 of 3"]
    caplog.clear()
    build_manifest(rows(label="nv"))
    assert not caplog.records


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"image_id": ["a", "a", "b"]}, "doubled for a: keep"),
        ({"image_id": ["", "a", "b"]}, "1 rows have an empty image_id"),
        ({"split": ["Train", "", ""]}, r"unknown split Train \(did you mean train\?\)"),
        ({"age": ["old", "", ""]}, "age old is not a number"),
    ],
)
def test_rows_that_make_no_manifest_are_refused(columns, complaint):
    with pytest.raises(UserError, match=complaint):
        build_manifest(rows().assign(**columns))


def test_relabel_merges_classes_and_leaves_the_rest():
    manifest = build_manifest(rows(label=["nv", "", "mel"]))
    merged = relabel(manifest, {"mel": "malignant"}, ["malignant", "nv", "df"])
    assert merged["label"].tolist() == ["", "nv", "malignant"]
    assert class_names(merged) == ["malignant", "nv"]
    assert class_names(manifest) == ["mel", "nv"]
    pd.testing.assert_frame_equal(relabel(manifest), manifest)


@pytest.mark.parametrize(
    ("label_map", "classes", "complaint"),
    [
        ({"mell": "x"}, None, r"no image is labelled mell \(did you mean mel\?\)"),
        ({"mel": ""}, None, "mel has no new class"),
        (None, ["nv", "melanoma"], r"unknown class mel \(1 images\) \(did you mean melanoma\?\)"),
    ],
)
def test_unknown_classes_are_refused_with_the_nearest(label_map, classes, complaint):
    with pytest.raises(UserError, match=complaint):
        relabel(build_manifest(rows(label=["nv", "", "mel"])), label_map, classes)
