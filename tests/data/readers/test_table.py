import pandas as pd
import pytest

from skinlab.data.readers.table import read_table
from skinlab.errors import UserError


def write(root, **columns):
    pd.DataFrame(columns).to_csv(root / "table.csv", index=False)
    return "table.csv"


def test_columns_by_our_names_or_theirs(tmp_path):
    ours = write(tmp_path, path=["b.jpg", "a.jpg"], label=["nv", "mel"], group=["1", "2"], split=["train", "test"])
    expected = read_table(tmp_path, ours)
    assert expected["image_id"].tolist() == ["a.jpg", "b.jpg"]
    assert expected["path"].tolist() == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"]
    theirs = write(tmp_path, file=["b.jpg", "a.jpg"], dx=["nv", "mel"], patient=["1", "2"], fold=["train", "test"])
    mapping = {"path": "file", "label": "dx", "group": "patient", "split": "fold", "source": None}
    pd.testing.assert_frame_equal(read_table(tmp_path, theirs, mapping), expected)
    pd.testing.assert_frame_equal(read_table(tmp_path, tmp_path / theirs, mapping), expected)


def test_an_id_of_its_own_and_optional_columns(tmp_path):
    table = write(tmp_path, image_id=["x"], path=["a.jpg"], label=["nv"], group=["1"], mask_path=[""], age=["31"])
    manifest = read_table(tmp_path, table)
    assert manifest.loc[0, ["image_id", "mask_path", "age"]].tolist() == ["x", "", 31.0]


@pytest.mark.parametrize("path", ["../a.jpg", "b/../../a.jpg", "/etc/a.jpg", "..", ".", "{root}x/a.jpg", "./../a.jpg"])
def test_paths_that_leave_the_root_are_refused(tmp_path, path):
    table = write(tmp_path, path=["ok.jpg", path.format(root=tmp_path)], label="nv", group="1")
    with pytest.raises(UserError, match=r"1 paths of the table leave data\.root="):
        read_table(tmp_path, table)


@pytest.mark.parametrize("path", ["b/a.jpg", "./b/a.jpg", "b//a.jpg", "c/../b/a.jpg", "{root}/b/a.jpg"])
def test_one_file_has_one_path_and_id(tmp_path, path):
    table = write(tmp_path, path=[path.format(root=tmp_path)], label="nv", group="1")
    manifest = read_table(tmp_path, table)
    assert manifest.loc[0, ["path", "image_id"]].tolist() == [f"{tmp_path}/b/a.jpg", "b/a.jpg"]


def test_names_that_only_look_odd_stay(tmp_path):
    names = ["..a.jpg", "b/..c/.d.jpg", "~/e.jpg", "f g.jpg"]
    assert set(read_table(tmp_path, write(tmp_path, path=names, label="nv", group="1"))["image_id"]) == set(names)


def test_an_empty_path_is_kept_for_the_audit(tmp_path):
    manifest = read_table(tmp_path, write(tmp_path, image_id=["a", "b"], path=["", "b.jpg"], label="nv", group="1"))
    assert manifest["path"].tolist() == ["", f"{tmp_path}/b.jpg"]


@pytest.mark.parametrize(
    ("mapping", "complaint"),
    [
        ({"labl": "dx"}, r"data.columns: labl is unknown \(did you mean label\?\)"),
        ({"label": "diagnosis"}, "no column diagnosis"),
        ({"label": "dx", "group": "patient"}, "no column patient"),
        ({}, "no column label"),
    ],
)
def test_a_column_that_is_not_there_is_refused(tmp_path, mapping, complaint):
    with pytest.raises(UserError, match=complaint):
        read_table(tmp_path, write(tmp_path, path=["a.jpg"], dx=["nv"]), mapping)


def test_a_missing_root_or_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        read_table(tmp_path / "none", "table.csv")
    with pytest.raises(UserError, match=r"unknown split trian \(did you mean train\?\)"):
        read_table(tmp_path, write(tmp_path, path=["a.jpg"], label=["nv"], group=["1"], split=["trian"]))
