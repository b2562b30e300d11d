import logging

import pandas as pd
import pytest

from skinlab.data.budget import apply_budget
from skinlab.data.expert_labels import add_labels, check_excluded, check_labels, exclude_images
from skinlab.errors import UserError

CLASSES = ["mel", "nv"]
SPLITS = {"a": "train", "b": "train", "c": "val", "d": "test", "p": "pool", "q": "pool", "r": "pool", "s": ""}
LABELS = {"a": "mel", "b": "nv", "c": "nv", "d": "mel"}


@pytest.fixture
def manifest():
    """Two training rows, one of each other part, three of the pool; r is of the validation row's group, s of test's."""
    ids = list(SPLITS)
    frame = pd.DataFrame({"image_id": ids, "split": list(SPLITS.values()), "fold": -1})
    frame["label"] = [LABELS.get(name, "") for name in ids]
    return frame.assign(group=["a", "b", "c", "d", "p", "q", "c", "d"])


@pytest.fixture
def table(tmp_path):
    def write(*rows, header="image_id,label"):
        (tmp_path / "table.csv").write_text("\n".join([header, *rows]) + "\n")
        return tmp_path / "table.csv"

    return write


def test_answered_images_join_the_training_part_and_nothing_else_moves(manifest, table):
    rows = add_labels(manifest, table("q,MM", "p,"), CLASSES, {"MM": "mel"})
    answered = rows["image_id"] == "q"
    assert rows.loc[answered, ["split", "label"]].to_numpy().tolist() == [["train", "mel"]]
    assert rows["answered"].tolist() == answered.tolist()
    pd.testing.assert_frame_equal(rows[~answered].drop(columns="answered"), manifest[~answered])


def test_answers_about_lesions_of_val_and_test_are_left_out_with_a_warning(manifest, table, caplog):
    with caplog.at_level(logging.WARNING):
        rows = add_labels(manifest, table("r,nv", "s,nv", "p,nv"), CLASSES)
    assert rows["split"].tolist() == ["train", "train", "val", "test", "train", "pool", "pool", ""]
    assert "2 images are of a group in val or test and left out: r, s" in caplog.text
    assert len(caplog.records) == 1


def test_what_is_labelled_alike_already_is_told_and_changes_nothing(manifest, table, caplog):
    with caplog.at_level(logging.WARNING):
        rows = add_labels(manifest, table("a,mel", "d,mel"), CLASSES)
    assert not rows.pop("answered").any()
    pd.testing.assert_frame_equal(rows, manifest)
    assert "2 images are not in the pool but labelled already, and ignored: a, d" in caplog.text


def test_how_many_labels_are_used_is_the_last_line(manifest, table, caplog):
    with caplog.at_level(logging.INFO):
        add_labels(manifest, table("q,mel", "a,mel"), CLASSES)
    assert caplog.records[-1].getMessage().endswith(": 1 label of the pool used: mel 1, nv 0")


def test_pseudo_labels_of_the_pool_s_own_folder_are_found_by_their_paths(table, tmp_path):
    """Files of other folders have the same names."""
    paths = [f"/data/train/{folder}/1.jpg" for folder in ("0", "1", "Unlabeled")]
    ids = [path.removeprefix("/data/") for path in paths]
    frame = pd.DataFrame({"image_id": ids, "path": paths, "group": ids, "label": ["nv", "mel", ""], "split": "train"})
    frame["split"] = ["train", "train", "pool"]
    pseudo = table(f"1.jpg,mel,m,{paths[2]}", header="image_id,label,labelled_by,path")
    assert add_labels(frame, pseudo, CLASSES)["label"].tolist() == ["nv", "mel", "mel"]
    with pytest.raises(UserError, match="may mean several images"):
        add_labels(frame, table("1.jpg,mel,m", header="image_id,label,labelled_by"), CLASSES)


def test_an_excluded_image_stays_out(manifest, table, caplog):
    with caplog.at_level(logging.WARNING):
        rows = add_labels(exclude_images(manifest, table("q", header="image_id")), table("q,mel"), CLASSES)
    assert rows["split"][rows["image_id"] == "q"].tolist() == [""]
    assert "1 image is excluded from the pool" in caplog.text


def test_a_hidden_label_gives_way_to_the_answer(table):
    frame = pd.DataFrame({"image_id": list("abcd"), "group": list("abcd"), "label": ["mel", "nv"] * 2})
    budgeted = apply_budget(frame.assign(split="train", fold=0), 2)
    hidden = budgeted["image_id"][budgeted["split"] == "pool"].tolist()
    rows = add_labels(budgeted, table(*(f"{name},nv" for name in hidden)), CLASSES)
    assert (rows["split"] == "train").all()
    assert (rows["hidden_label"] == "").all()
    assert (rows["label"][rows["image_id"].isin(hidden)] == "nv").all()


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (["x,mel", "y,nv"], "2 rows without an image of the data: x, y"),
        (["p,mell"], r"unknown class mell \(did you mean mel\?\): the data has mel, nv"),
        (["a,nv"], "1 label in contradiction to the data: a is mel there and nv here"),
        (["p,mel", "p,mel"], "names an image twice: p"),
        (["p,", "q,"], "no label filled in"),
    ],
)
def test_wrong_answers_are_refused_in_one_line(manifest, table, rows, complaint):
    with pytest.raises(UserError, match=complaint) as raised:
        check_labels(manifest, table(*rows), CLASSES)
    assert "\n" not in str(raised.value)


def test_an_answer_may_contradict_a_label_that_a_budget_hides(manifest, table):
    check_labels(manifest, table("a,nv"), CLASSES, hides=True)
    with pytest.raises(UserError, match="1 label in contradiction"):
        add_labels(manifest, table("a,nv"), CLASSES)


def test_answers_about_images_that_the_audit_has_dropped_are_left_out(manifest, table, caplog):
    with caplog.at_level(logging.WARNING):
        rows = add_labels(manifest[manifest["image_id"] != "p"], table("p,mel", "q,mel"), CLASSES)
    assert rows["image_id"][rows["answered"]].tolist() == ["q"]
    assert "1 image left out, unreadable: p" in caplog.text


def test_excluded_images_leave_every_part_and_others_stay(manifest, table, caplog):
    named = table("a", "d", "p", "x", header="image_id")
    with caplog.at_level(logging.WARNING):
        check_excluded(manifest, named)
    rows = exclude_images(manifest, named)
    gone = rows["image_id"].isin(["a", "d", "p"])
    assert (rows["split"][gone] == "").all()
    pd.testing.assert_frame_equal(rows[~gone], manifest[~gone])
    assert "1 row without an image of the data: x" in caplog.text
    with pytest.raises(UserError, match="names no image of the data; its first image_id is x"):
        check_excluded(manifest, table("x", header="image_id"))


@pytest.mark.parametrize("header", ["image,label", "image_name;label", "isic_id\tlabel"])
def test_tables_name_images_as_people_do(manifest, table, header):
    separator = header[-6]
    manifest = manifest.assign(image_id=["ISIC_" + name for name in manifest["image_id"]])
    labels = table(*(separator.join(row) for row in (("isic_p.JPG", "MEL "), ("q/ISIC_q", "N/A"))), header=header)
    rows = add_labels(manifest, labels, CLASSES)
    assert rows["image_id"][rows["answered"]].tolist() == ["ISIC_p"]
    assert rows["label"][rows["answered"]].tolist() == ["mel"]
    assert check_labels(manifest, labels, CLASSES) == {
        "data.labels label": {"changed": 3, "missing": 1, "examples": {"MEL ": "MEL", "N/A": "", "MEL": "mel"}}
    }
    assert exclude_images(manifest, labels)["split"].tolist()[4:] == ["", "", "pool", ""]


def test_tables_may_name_the_file_where_the_data_has_ids_of_its_own(manifest, table):
    manifest = manifest.assign(path=[f"/data/{name}{name}.jpg" for name in manifest["image_id"]])
    rows = add_labels(manifest, table("pp.jpg,mel", "qq,nv"), CLASSES)
    assert rows["image_id"][rows["answered"]].tolist() == ["p", "q"]


def test_labels_may_be_one_column_a_class(manifest, table):
    rows = add_labels(manifest, table("p,1.0,0.0", "q,0.0,1.0", header="image,MEL,NV"), CLASSES)
    assert rows["label"][rows["answered"]].tolist() == ["mel", "nv"]


def test_an_id_that_may_mean_two_images_is_refused(manifest, table):
    manifest["image_id"] = ["x/a.jpg", "y/a.jpg", *manifest["image_id"][2:]]
    for read in (
        lambda: check_excluded(manifest, table("a,mel")),
        lambda: check_labels(manifest, table("a,mel"), CLASSES),
    ):
        with pytest.raises(UserError, match=r"several images, such as a: x/a\.jpg or y/a\.jpg"):
            read()
