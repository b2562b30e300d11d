"""The images of a folder or a table that are to be predicted."""

import shutil
from pathlib import Path

import pytest

from skinlab.errors import UserError
from skinlab.inference.inputs import find_images
from tests.image_folder import NAMES, table_of, write_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize(
    "table",
    [
        {"image": ["1", "3"]},
        {"isic_id": ["A/1.JPG", "3.bmp"]},
        {"path": [r"C:\photos\a\1.jpg", r"a\b\3.bmp"], "image_id": ["1", "3"]},
        {"file": ["a/1.jpg", "a/b/3.bmp"], "no": ["1", "3 "]},
    ],
)
def test_a_table_may_name_its_images_in_other_ways(folder: Path, tmp_path: Path, caplog, table: dict):
    images = Path(shutil.copytree(folder, tmp_path / "t"))
    place = table_of(images / "t.csv", **table, dx=["MEL ", "unknown"], group=["NA", " g"])
    names = {"path": "file", "image_id": "no"} if "file" in table else {}
    rows = find_images(str(place), columns=names | {"label": "dx"}, label_map={"mel": "malignant"})
    assert rows["path"].tolist() == [str(images / "a/1.jpg"), str(images / "a/b/3.bmp")]
    assert rows["label"].tolist() == ["malignant", ""]
    assert rows["group"].tolist() == ["", "g"]
    assert ("lead to no file; taken are the files of those names" in caplog.text) == (r"C:" in str(table))
    with pytest.raises(UserError, match=r"columns.label=dxx: no such column in .* .did you mean dx"):
        find_images(str(place), columns={"label": "dxx"})
    with pytest.raises(UserError, match="columns= is for a table"):
        find_images(str(images), columns={"label": "dx"})
    with pytest.raises(
        UserError, match=r"label_map: no image of .* is labelled mell \(did you mean MEL\?\): it has MEL"
    ):
        find_images(str(place), columns=names | {"label": "dx"}, label_map={"mell": "malignant"})


def test_ids_name_files_below_the_table_s_folder(folder: Path, tmp_path: Path):
    images = Path(shutil.copytree(folder, tmp_path / "t"))
    table = table_of(images / "t.csv", image_id=["3", "1.jpg", "c.d", "a/b/3.bmp"])
    rows = find_images(str(table))
    assert rows["path"].tolist() == [str(images / name) for name in ("a/b/3.bmp", "a/1.jpg", "c.d.png", "a/b/3.bmp")]
    shutil.copy(images / "2.png", images / "a" / "2.png")
    assert find_images(str(table_of(table, image_id=["2.png"])))["path"][0] == str(images / "2.png")
    with pytest.raises(UserError, match=r"1 id may mean several images, such as 2: 2\.png or a/2\.png"):
        find_images(str(table_of(table, image_id=["2"])))
    with pytest.raises(UserError, match=r"1 row of .* without an image below its folder: 77"):
        find_images(str(table_of(table, image_id=["77"])))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "photo,label\na.png,mel\n",
            "neither a column path nor image_id; its columns are photo, label; .*columns.path=",
        ),
        ("path\n../x.png\n", r"1 path of .* outside its folder: \.\./x\.png"),
        ("path,label\n,mel\n", "1 row of .* without a path"),
        ("path,image_id\na,1\nb,1\n", "names 1 more than once"),
        ("path,image_id\na,\n", "1 row of .* without image_id"),
        ("path\n", "has no rows below its header"),
    ],
)
def test_tables_that_name_no_images_are_refused(tmp_path: Path, content: str, words: str):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(UserError, match=words):
        find_images(str(tmp_path / "t.csv"))


def test_a_folder_without_images_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"^input=.* holds no image"):
        find_images(str(tmp_path))


def test_files_that_are_no_photographs_are_named(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    images = Path(shutil.copytree(folder, tmp_path / "in"))
    for name in ("10_segmentation.png", "a/scan.dcm", "IMG_1.HEIC"):
        (images / name).write_bytes(b"x" * 99)
    assert find_images(str(images))["image_id"].tolist() == NAMES
    assert [record.message for record in caplog.records] == [
        "1 mask is left out: 10_segmentation.png; rename those that are photographs",
        "2 files left out, of formats that can't be read (1 .heic, 1 .dcm): IMG_1.HEIC, a/scan.dcm; "
        "convert them to JPEG or PNG",
    ]
    with pytest.raises(UserError, match=r"IMG_1\.HEIC: HEIC images can't be read; convert it to JPEG or PNG"):
        find_images(str(images / "IMG_1.HEIC"))
    with pytest.raises(UserError, match=r"1 row of .* without an image .*: IMG_1; .* convert them to JPEG or PNG"):
        find_images(str(table_of(images / "t.csv", image_id=["2", "IMG_1"])))
    caplog.clear()
    find_images(str(table_of(images / "t.csv", path=["2.png", "10_segmentation.png"])))
    assert "1 row of" in caplog.text
    assert "with the name of a mask: 10_segmentation.png" in caplog.text
