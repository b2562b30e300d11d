import logging

import pandas as pd
import pytest

from skinlab.data.images import BadImage, read_image
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
    theirs = write(tmp_path, file=["b.jpg", "a.jpg"], dx=["nv", "mel"], case=["1", "2"], fold=["train", "test"])
    mapping = {"path": "file", "label": "dx", "group": "case", "split": "fold", "source": None}
    pd.testing.assert_frame_equal(read_table(tmp_path, theirs, mapping), expected)
    pd.testing.assert_frame_equal(read_table(tmp_path, tmp_path / theirs, mapping), expected)


def test_an_id_of_its_own_and_optional_columns(tmp_path):
    table = write(tmp_path, image_id=["x"], path=["a.jpg"], label=["nv"], group=["1"], mask_path=[""], age=["31"])
    manifest = read_table(tmp_path, table)
    assert manifest.loc[0, ["image_id", "mask_path", "age"]].tolist() == ["x", "", 31.0]


@pytest.mark.parametrize("path", ["../a.jpg", "b/../../a.jpg", "/etc/a.jpg", "..", ".", "{root}x/a.jpg", "./../a.jpg"])
def test_paths_that_leave_the_root_are_refused(tmp_path, path):
    table = write(tmp_path, path=["ok.jpg", path.format(root=tmp_path)], label="nv", group="1")
    with pytest.raises(UserError, match=r"1 path of the table outside data\.root="):
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
        ({"label": 1}, "no column 1"),
        ({}, r"no column label: its columns are path, dx; name the one .*: data\.columns\.label=dx"),
        ({"label": "dx", "path": "file"}, "no column file"),
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


def place(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_lines(root, *lines):
    (root / "table.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    return "table.csv"


def test_a_path_and_a_label_are_enough(tmp_path):
    mapping = {"label": "dx", "image_id": None, "group": None, "split": None}
    manifest = read_table(tmp_path, write(tmp_path, path=["a.jpg"], dx=["nv"]), mapping)
    assert manifest.loc[0, ["image_id", "group", "label", "split"]].tolist() == ["a.jpg", "a.jpg", "nv", ""]


@pytest.mark.parametrize("name", ["image_id", "image", "image_name", "isic_id", "Image"])
def test_ids_without_folder_and_suffix_find_their_files(tmp_path, name):
    place(tmp_path, "train/ISIC_1.JPG", "train/ISIC_2_downsampled.jpg", "ISIC_3.png", "train/ISIC_3_mask.png")
    lines = [f"{name};label", "ISIC_1;nv", "ISIC_2;mel", "ISIC_3_downsampled;mel"]
    manifest = read_table(tmp_path, write_lines(tmp_path, *lines))
    assert manifest["image_id"].tolist() == ["ISIC_1", "ISIC_2", "ISIC_3_downsampled"]
    files = ["train/ISIC_1.JPG", "train/ISIC_2_downsampled.jpg", "ISIC_3.png"]
    assert manifest["path"].tolist() == [f"{tmp_path}/{file}" for file in files]


@pytest.mark.parametrize(
    "path",
    [
        *("a.jpg", "a", "train/a", "train/a.JPG", "train\\a.jpg", "C:\\Users\\me\\train\\a.jpg"),
        *("/home/me/isic/train/a.jpg", "train/a.jpg ", "\u00a0train/a.jpg", "../train/a.jpg"),
    ],
)
def test_a_path_that_is_no_file_means_the_image_of_its_name(tmp_path, path):
    place(tmp_path, "train/a.jpg", "test/b.jpg")
    manifest = read_table(tmp_path, write(tmp_path, path=[path, "test/b.jpg"], label="nv", group="1"))
    assert manifest["path"].tolist() == [f"{tmp_path}/test/b.jpg", f"{tmp_path}/train/a.jpg"]
    assert manifest["image_id"].tolist() == ["test/b.jpg", "train/a.jpg"]
    assert manifest.attrs["text_changes"]["path"]["changed"] == 1


def test_a_file_is_taken_as_it_is_written_before_any_other(tmp_path):
    place(tmp_path, "a  b.jpg", "a b.jpg", "c", "x/c.jpg", "NA")
    manifest = read_table(tmp_path, write(tmp_path, path=["a  b.jpg", "c", "NA"], label="nv", group="1"))
    assert manifest["image_id"].tolist() == ["NA", "a  b.jpg", "c"]
    assert not manifest.attrs


def test_a_name_of_two_images_is_refused_with_both(tmp_path):
    place(tmp_path, "train/a.jpg", "test/a.jpg")
    with pytest.raises(UserError, match=r"1 id may mean several images, such as a: test/a\.jpg or train/a\.jpg"):
        read_table(tmp_path, write(tmp_path, image=["a"], label=["nv"]))


@pytest.mark.parametrize("column", ["image", "path"])
def test_a_table_of_other_images_is_refused(tmp_path, column):
    place(tmp_path, "b.jpg")
    with pytest.raises(UserError, match=r"names none of 1 image below .* its first is a, .*b\.jpg; give"):
        read_table(tmp_path, write(tmp_path, **{column: ["a"], "label": ["nv"]}))


def test_images_that_are_missing_are_left_to_the_audit(tmp_path):
    place(tmp_path, "b.jpg")
    manifest = read_table(tmp_path, write(tmp_path, path=["b", "c.jpg"], label="nv", group="1"))
    assert manifest["path"].tolist() == [f"{tmp_path}/b.jpg", f"{tmp_path}/c.jpg"]
    by_id = read_table(tmp_path, write(tmp_path, image_id=["b", "c"], label="nv", group="1"))
    assert by_id["path"].tolist() == [f"{tmp_path}/b.jpg", ""]


@pytest.mark.parametrize("column", ["image_id", "path"])
def test_an_image_of_a_format_that_can_t_be_read_is_named_with_it(tmp_path, column):
    place(tmp_path, "b.jpg")
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    manifest = read_table(tmp_path, write(tmp_path, **{column: ["b", "a"], "label": "nv", "group": "1"}))
    (path,) = set(manifest["path"]) - {f"{tmp_path}/b.jpg"}
    assert path == f"{tmp_path}/a.heic"
    with pytest.raises(BadImage, match=r"but HEIC: convert it to JPEG or PNG"):
        read_image(path, 32)


def test_a_table_without_a_column_of_images_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no column path or image_id: its columns are file, label; .*columns\.path="):
        read_table(tmp_path, write(tmp_path, file=["a"], label=["nv"]))


def test_ground_truths_of_one_column_a_class(tmp_path):
    place(tmp_path, "i/ISIC_1.jpg", "i/ISIC_2.jpg", "i/ISIC_3.jpg")
    lines = ["image,MEL,NV,UNK", "ISIC_1,0.0,1.0,0.0", "ISIC_2,1.0,0.0,0.0", "ISIC_3,,,"]
    manifest = read_table(tmp_path, write_lines(tmp_path, *lines))
    assert manifest["label"].tolist() == ["NV", "MEL", ""]


def test_metadata_of_isic_asks_for_the_label_and_names_the_group(tmp_path, caplog):
    place(tmp_path, "i/ISIC_1.jpg")
    header = "image_name,patient_id,sex,age_approx,diagnosis,benign_malignant,target"
    table = write_lines(tmp_path, header, "ISIC_1,IP_1,male,45.0,unknown,benign,0")
    ours = r"data\.columns\.label=diagnosis or data\.columns\.label=benign_malignant or data\.columns\.label=target"
    with pytest.raises(UserError, match=rf"no column label: .*{ours}"):
        read_table(tmp_path, table)
    with caplog.at_level(logging.WARNING):
        assert read_table(tmp_path, table, {"label": "benign_malignant"})["label"].tolist() == ["benign"]
    assert "data.columns.group=patient_id" in caplog.text
    mapping = {"label": "target", "image_id": "image_name", "path": "image_name", "group": "patient_id"}
    manifest = read_table(tmp_path, table, mapping)
    assert manifest.loc[0, ["image_id", "path", "group"]].tolist() == ["ISIC_1", f"{tmp_path}/i/ISIC_1.jpg", "IP_1"]


def test_without_a_group_images_of_a_patient_or_else_of_a_lesion_are_one(tmp_path, caplog):
    place(tmp_path, "a.jpg", "b.jpg")
    table = write(tmp_path, path=["a.jpg", "b.jpg"], label="nv", Case="P1", spot=["L1", "L2"])
    with caplog.at_level(logging.INFO):
        both = read_table(tmp_path, table, {"patient": "Case", "lesion": "spot"})
    assert both[["group", "patient", "lesion"]].to_numpy().tolist() == [["P1", "P1", "L1"], ["P1", "P1", "L2"]]
    assert "images of one patient are a group" in caplog.text
    assert read_table(tmp_path, table, {"lesion": "spot"})["group"].tolist() == ["L1", "L2"]


def test_a_mask_has_its_own_path(tmp_path):
    place(tmp_path, "a.jpg", "masks/a.png")
    table = write(tmp_path, path=["a.jpg", "a.jpg"], image_id=["a", "b"], label="nv", mask_path=["masks\\a.png", "NA"])
    assert read_table(tmp_path, table)["mask_path"].tolist() == [f"{tmp_path}/masks/a.png", ""]
    with pytest.raises(UserError, match=r"outside data\.root"):
        read_table(tmp_path, write(tmp_path, path=["a.jpg"], label=["nv"], mask_path=["../a.png"]))


def test_two_rows_do_not_mean_one_image(tmp_path):
    place(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(UserError, match=r"several rows refer to the image 1\.jpg"):
        read_table(tmp_path, write(tmp_path, path=["train/1.jpg", "test/1.jpg"], image_id=["a", "b"], label="nv"))
    with pytest.raises(UserError, match=r"several ids refer to one image: 1, 1\.jpg"):
        read_table(tmp_path, write(tmp_path, image_id=["1", "1.jpg"], label="nv"))


def test_an_existing_file_outside_the_root_is_not_taken_for_one_inside(tmp_path):
    place(tmp_path, "root/1.jpg", "other/1.jpg")
    with pytest.raises(UserError, match=r"1 path of the table outside data\.root=.*other/1\.jpg"):
        read_table(tmp_path / "root", tmp_path / write(tmp_path, path=["../other/1.jpg"], label=["nv"]))
