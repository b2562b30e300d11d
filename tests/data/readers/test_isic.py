"""The tables of the ISIC challenges; a download of each is in tests/commands/test_fetch.py."""

import pytest

from skinlab.data.readers.isic import read_isic
from skinlab.errors import UserError


def lay_out(root, table):
    (root / "Input").mkdir()
    for name in ("ISIC_1_downsampled.jpg", "ISIC_2.jpg", "ISIC_9.jpg"):
        (root / "Input" / name).touch()
    (root / "truth.csv").write_text(table)


def test_images_are_matched_by_name_and_the_patient_is_the_group(tmp_path):
    lay_out(tmp_path, "image,patient_id,lesion_id,target\nISIC_1,P1,L1,MEL\nISIC_2,P1,L2,nv\nISIC_3,P2,L3,nv\n")
    manifest = read_isic(tmp_path, "isic2020", "truth.csv", "target")
    assert manifest["label"].tolist() == ["mel", "nv", "nv"]
    assert manifest["group"].tolist() == ["P1", "P1", "P2"]
    assert manifest[["patient", "lesion"]].to_numpy().tolist() == [["P1", "L1"], ["P1", "L2"], ["P2", "L3"]]
    assert manifest["path"].tolist() == [f"{tmp_path}/Input/ISIC_1_downsampled.jpg", f"{tmp_path}/Input/ISIC_2.jpg", ""]


@pytest.mark.parametrize(
    ("label", "message"),
    [("diagnosis", "has no column diagnosis: its columns are"), (None, "has no column of 0 and 1 for each class")],
)
def test_another_table_is_refused(tmp_path, label, message):
    lay_out(tmp_path, "image,target\nISIC_1,mel\nISIC_2,nv\n")
    with pytest.raises(UserError, match=message):
        read_isic(tmp_path, "isic2020", "truth.csv", label)


def test_a_missing_table_or_folder_is_refused(tmp_path):
    lay_out(tmp_path, "image,target\nISIC_1,mel\n")
    with pytest.raises(UserError, match=r"holds no nowhere.csv: put it there, beside the images"):
        read_isic(tmp_path, "isic2019", "nowhere.csv")
    with pytest.raises(UserError, match="get the data there: skinlab fetch data=isic2019"):
        read_isic(tmp_path / "nowhere", "isic2019", "truth.csv")


def test_zero_and_one_have_names(tmp_path):
    lay_out(tmp_path, "isic_id,malignant\nISIC_1,1.0\nISIC_2,0\nISIC_9,\n")
    manifest = read_isic(tmp_path, "isic2024", "truth.csv", "malignant", zero_one=["benign", "malignant"])
    assert manifest["label"].tolist() == ["malignant", "benign", ""]
    (tmp_path / "truth.csv").write_text("isic_id,malignant\nISIC_1,1\nISIC_2,yes\n")
    with pytest.raises(UserError, match=r"truth.csv: column malignant has yes beside 0 and 1"):
        read_isic(tmp_path, "isic2024", "truth.csv", "malignant", zero_one=["benign", "malignant"])
