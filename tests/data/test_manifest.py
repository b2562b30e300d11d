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
        ({"image_id": ["a", "a", "b"]}, "repeated for a: keep"),
        ({"image_id": ["", "a", "b"]}, "1 row has an empty image_id"),
        ({"image_id": ["a", "a", ""]}, "1 row has an empty image_id"),
        ({"split": ["tran", "", ""]}, r"unknown split tran \(did you mean train\?\): use train.*data.columns.split"),
        ({"age": ["old", "", ""]}, "age old is no number of years"),
        ({"age": ["45", "-1", "999"]}, r"age -1 is no number of years from 0 to 120 \(2 rows\)"),
        (
            {"group": ["P7", "p7", "P7"]},
            r"column group: 'P7' \(2 rows\) and 'p7' \(1 row\) seem to be one name: write",
        ),
        ({"group": ["1", "1.0", "2"]}, "'1' .* and '1.0' .* seem to be one name"),
        ({"source": ["Site_A", "site a", "b"]}, "column source: 'Site_A' .* and 'site a'"),
        ({"sex": ["Male", "male", ""]}, "column sex"),
        ({"site": ["Back", "back", ""]}, "column site"),
    ],
)
def test_rows_that_make_no_manifest_are_refused(columns, complaint):
    with pytest.raises(UserError, match=complaint):
        build_manifest(rows().assign(**columns))


@pytest.mark.parametrize("column", ["label", "group", "source", "sex", "site", "split"])
@pytest.mark.parametrize("missing", ["", " ", "NA", "n/a", "NaN", "None", "Unknown", None, float("nan")])
def test_text_is_trimmed_and_words_for_missing_are_missing(column, missing):
    frame = rows(label="nv").assign(**{column: [" test\u00a0", "test", missing]})
    manifest = build_manifest(frame).set_index("image_id")
    assert manifest.loc[["a", "b"], column].tolist() == ["test", "test"]
    assert manifest.loc["c", column] == ("c" if column == "group" else "")
    found = manifest.attrs["text_changes"][column]
    counts = (1, 0) if missing in ("", None) or missing != missing else (2, 1)
    assert (found["changed"], found["missing"]) == counts


def test_a_group_that_outweighs_all_others_is_questioned(caplog):
    frame = pd.DataFrame({"image_id": [f"{i:02d}" for i in range(40)], "path": ""})
    with caplog.at_level(logging.WARNING):
        build_manifest(frame.assign(group=[str(i // 2) for i in range(40)]))
        assert not caplog.records
        build_manifest(frame.assign(group=["unbekannt"] * 20 + [str(i // 2) for i in range(20)]))
    assert "group 'unbekannt' holds 20 of 40 images, the next largest 2: if it means unknown" in caplog.text


def test_a_label_that_says_unlabeled_is_none():
    manifest = build_manifest(rows(label=["Unlabelled", "unlabeled ", "nv"]))
    assert class_names(manifest) == ["nv"]
    assert manifest.attrs["text_changes"]["label"]["missing"] == 2


@pytest.mark.parametrize("variant", ["P7 ", "\tP7", "P7\u00a0", "\u200bP7", "\ufeffP7\u202f"])
def test_one_lesion_is_one_group_however_it_is_blanked(variant):
    assert build_manifest(rows().assign(group=["P7", variant, "P8"]))["group"].tolist() == ["P7", "P7", "P8"]


def test_composed_and_decomposed_letters_are_one_label():
    labels = ["n\u00e6vus \u00e9", "n\u00e6vus e\u0301", "mel"]
    assert class_names(build_manifest(rows(label=labels))) == ["mel", "n\u00e6vus \u00e9"]


def test_proper_text_is_not_counted_as_changed():
    assert not build_manifest(rows(label="nv", split=["train", "", ""], age=["45.0", "50", ""], sex="male")).attrs


@pytest.mark.parametrize(
    ("word", "split"),
    [
        *[("Train", "train"), ("training", "train"), ("TEST ", "test"), ("validation", "val"), ("Valid", "val")],
        *[("unlabelled", "pool"), ("held-out", "held_out"), ("dev", "val")],
    ],
)
def test_usual_words_for_a_split_are_understood(word, split):
    manifest = build_manifest(rows(split=[word, "", ""]))
    assert manifest["split"].tolist() == ["", split, ""]
    assert manifest.attrs["text_changes"]["split"]["examples"] == {word: split}


@pytest.mark.parametrize("age", ["45.0", "45,0", "45 years", "45y", " 45 yrs.\u00a0", "45 Years old", 45, 45.0])
def test_an_age_may_have_a_unit_or_a_decimal_comma(age):
    assert build_manifest(rows(age=[age, "", "N/A"]))["age"].tolist()[1] == 45.0


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
        ({"mel": None}, None, "mel has no new class"),
        ({"mel": "N/A"}, None, "mel has no new class"),
        ({"mel": "x", "mel ": "y"}, None, "mel has two new classes, x and y: keep one"),
        ({"mel": "x", "MEL": "y"}, None, "mel has two new classes, x and y: keep one"),
        ({"mel": ["a", "b"]}, None, r"mel has the new class \['a', 'b'\]: give one name"),
        ({"unknown": "x"}, None, "'unknown' counts as no label"),
        ({"mel": "NV"}, None, r"classes 'NV' \(1 image\) and 'nv' \(1\) seem to be one"),
        (None, ["nv", "MEL"], r"unknown class mel \(1 image\) \(did you mean MEL\?\)"),
        (None, ["nv", "melanoma"], r"unknown class mel \(1 image\) \(did you mean melanoma\?\)"),
    ],
)
def test_unknown_classes_are_refused_with_the_nearest(label_map, classes, complaint):
    with pytest.raises(UserError, match=complaint):
        relabel(build_manifest(rows(label=["nv", "", "mel"])), label_map, classes)


@pytest.mark.parametrize(
    "names", [("MEL", "mel"), ("0", "0.0"), ("Basal_cell", "basal cell"), ("Melanoma", "melanoma")]
)
def test_classes_that_look_like_one_stop_with_both_and_are_merged_by_the_map(names):
    manifest = build_manifest(rows(label=[names[0], names[1], names[1]]))
    remedy = rf"classes '{names[0]}' \(1 image\) and '{names[1]}' \(2\) seem to be one.*={{{names[0]}: {names[1]}}}"
    with pytest.raises(UserError, match=remedy):
        relabel(manifest)
    with pytest.raises(UserError, match="seem to be one"):  # one of them mapped away would leave the other a class
        relabel(manifest, {names[0]: "malignant"})
    assert class_names(relabel(manifest, {names[0]: names[1]})) == [names[1]]
    assert class_names(relabel(manifest, dict.fromkeys(names, "malignant"))) == ["malignant"]


@pytest.mark.parametrize("key", ["mel", " mel", "MEL\u00a0", "Mel"])
def test_a_key_of_the_map_may_be_written_otherwise(key):
    assert class_names(relabel(build_manifest(rows(label=["mel", "nv", ""])), {key: " malignant "})) == [
        "malignant",
        "nv",
    ]


@pytest.mark.parametrize("key", [1, 1.0, "1"])
def test_a_key_of_the_map_may_be_a_number(key):
    for label in ("1", "1.0"):
        manifest = build_manifest(rows(label=[label, "0", ""]))
        assert class_names(relabel(manifest, {key: "malignant"})) == ["0", "malignant"]
