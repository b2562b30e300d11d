import logging
import os
from pathlib import Path

import pandas as pd
import pytest

from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.errors import UserError

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"
ROWS = ["HAM_2,ISIC_2,mel,histo,50.0,male,back", "HAM_1,ISIC_1,nv,follow_up,,unknown,face"]
SOURCES = ["rosendahl", "vidir_modern"]


def lay_out(root, *images):
    for name in images:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_table(path, separator=",", source=False):
    lines = [HEADER + (",dataset" if source else "")]
    lines += [row + (f",{name}" if source else "") for row, name in zip(ROWS, SOURCES, strict=True)]
    path.write_text("\n".join(lines).replace(",", separator) + "\n")


def test_kaggle_layout(tmp_path):
    lay_out(tmp_path, "HAM10000_images_part_1/ISIC_1.jpg", "HAM10000_images_part_2/ISIC_2.JPG")
    write_table(tmp_path / "HAM10000_metadata.csv")
    manifest = read_ham10000(tmp_path)
    assert manifest["image_id"].tolist() == ["ISIC_1", "ISIC_2"]
    assert manifest["path"].tolist() == [
        f"{tmp_path}/HAM10000_images_part_1/ISIC_1.jpg",
        f"{tmp_path}/HAM10000_images_part_2/ISIC_2.JPG",
    ]
    assert manifest["label"].tolist() == ["nv", "mel"]
    assert manifest["group"].tolist() == ["HAM_1", "HAM_2"]
    assert manifest["site"].tolist() == ["face", "back"]
    assert manifest["source"].tolist() == ["", ""]
    assert "dx_type" not in manifest
    assert "mask_path" not in manifest


@pytest.mark.parametrize(("name", "separator"), [("HAM10000_metadata", ","), ("HAM10000_metadata.tab", "\t")])
def test_dataverse_layout_tells_the_source_and_the_masks(tmp_path, name, separator):
    lay_out(tmp_path, "images/a/ISIC_1.jpg", "images/ISIC_2.png", "masks/ISIC_2_segmentation.png")
    lay_out(tmp_path, "masks/ISIC_1_superpixels.png", "raw/ISIC_1.CR2")
    write_table(tmp_path / name, separator, source=True)
    manifest = read_ham10000(tmp_path)
    assert manifest["source"].tolist() == ["vidir_modern", "rosendahl"]
    assert manifest["mask_path"].tolist() == ["", f"{tmp_path}/masks/ISIC_2_segmentation.png"]
    assert manifest.attrs["not_in_table"] == []
    assert manifest.attrs["masks"] == ("masks/ISIC_1_superpixels.png",)
    assert manifest.attrs["other_formats"] == ("raw/ISIC_1.CR2",)


def test_the_table_with_sources_is_preferred(tmp_path):
    lay_out(tmp_path, "ISIC_1.jpg", "ISIC_2.jpg")
    write_table(tmp_path / "HAM10000_metadata")
    write_table(tmp_path / "HAM10000_metadata.csv", source=True)
    assert read_ham10000(tmp_path)["source"].tolist() == ["vidir_modern", "rosendahl"]


def test_what_is_missing_from_disk_or_table_is_reported(tmp_path):
    lay_out(tmp_path, "part/ISIC_1.jpg", "test/ISIC_9.jpg")
    write_table(tmp_path / "HAM10000_metadata.csv")
    manifest = read_ham10000(tmp_path)
    assert manifest["path"].tolist() == [f"{tmp_path}/part/ISIC_1.jpg", ""]
    assert manifest.attrs["not_in_table"] == ["test/ISIC_9.jpg"]


def test_a_table_saved_again_by_a_spreadsheet_reads_the_same(tmp_path):
    lay_out(tmp_path, "part/ISIC_1.jpg", "part/ISIC_2.jpg", "masks/ISIC_1_segmentation.png")
    write_table(tmp_path / "HAM10000_metadata.csv")
    expected = read_ham10000(tmp_path)
    text = (tmp_path / "HAM10000_metadata.csv").read_text().replace("ISIC_2,mel", "ISIC_2.jpg,mel ").replace(",", ";")
    (tmp_path / "HAM10000_metadata.csv").write_text(text.replace("50.0", "50,0"), encoding="utf-8-sig")
    manifest = read_ham10000(tmp_path)
    assert manifest["image_id"].tolist() == ["ISIC_1", "ISIC_2.jpg"]
    rest = [name for name in expected if name != "image_id"]
    pd.testing.assert_frame_equal(manifest[rest], expected[rest])
    assert manifest.attrs["not_in_table"] == []
    assert expected["sex"].tolist() == ["", "male"]


def test_an_archive_unpacked_twice_gives_each_image_once(tmp_path, caplog):
    lay_out(tmp_path, "HAM10000_images_part_1/ISIC_1.jpg", "ham10000_images_part_1/ISIC_1.jpg", "ISIC_2.jpg")
    write_table(tmp_path / "HAM10000_metadata.csv")
    with caplog.at_level(logging.WARNING):
        manifest = read_ham10000(tmp_path)
    assert manifest["path"].iloc[0] == f"{tmp_path}/HAM10000_images_part_1/ISIC_1.jpg"
    assert "1 image name is twice" in caplog.text


def test_a_root_without_metadata_is_refused(tmp_path):
    lay_out(tmp_path, "ISIC_1.jpg")
    with pytest.raises(UserError, match=r"holds no HAM10000_metadata or .*put the metadata beside"):
        read_ham10000(tmp_path)
    (tmp_path / "ham").mkdir()
    (tmp_path / "ham" / "HAM10000_metadata").touch()
    with pytest.raises(UserError, match=f"holds no HAM10000_metadata or .*: set data.root={tmp_path}/ham, which has"):
        read_ham10000(tmp_path)
    (tmp_path / "HAM10000_metadata.csv").write_text("image_id,diagnosis\nISIC_1,nv\n")
    with pytest.raises(UserError, match="no column lesion_id"):
        read_ham10000(tmp_path)


@pytest.mark.real_data
@pytest.mark.skipif("SKINLAB_DATA_ROOT" not in os.environ, reason="SKINLAB_DATA_ROOT is not set")
def test_the_real_table_has_its_published_counts():
    manifest = read_ham10000(Path(os.environ["SKINLAB_DATA_ROOT"]) / "ham10000")
    counts = {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115}
    assert manifest["label"].value_counts().to_dict() == counts
    sources = {"vidir_molemax": 3954, "vidir_modern": 3363, "rosendahl": 2259, "vienna_dias": 439}
    assert manifest["source"].value_counts().to_dict() == sources
    lesions = manifest.groupby("group")
    assert len(lesions) == 7470
    assert (lesions.size() > 1).sum() == 1956
    assert lesions.size().max() == 6
    assert lesions["label"].nunique().max() == 1
    assert (lesions["source"].nunique() > 1).sum() == 9
    assert (manifest["path"] != "").all()
    assert (manifest["mask_path"] != "").all()
    assert manifest["age"].isna().sum() == (manifest["sex"] == "").sum() == 57
