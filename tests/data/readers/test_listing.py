import os
from functools import partial

import pytest

from skinlab.data.readers.dsm2025 import read_dsm2025
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.data.readers.isic import read_isic
from skinlab.data.readers.listing import absolute, list_files
from skinlab.data.readers.ph2 import read_ph2
from skinlab.errors import UserError


def test_images_are_found_anywhere_and_nothing_else(tmp_path):
    for name in ("b/c/1.JPG", "a.png", "b/2.jpeg", "notes.txt", ".hidden.jpg", "__MACOSX/1.jpg", ".cache/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_files(tmp_path).images == ["a.png", "b/2.jpeg", "b/c/1.JPG"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "1.jpg").touch()
    (root / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    assert list_files(root).images == ["link/1.jpg"]


def test_a_root_that_is_missing_or_bare_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        list_files(tmp_path / "none")
    with pytest.raises(UserError, match="holds no image"):
        list_files(tmp_path)


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert absolute("~/ham") == f"{tmp_path}/ham"


def test_a_name_that_no_table_could_hold_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"n\xe4vus.jpg")).touch()
    with pytest.raises(UserError, match=r"not UTF-8, 'n\\udce4vus\.jpg': rename it"):
        list_files(tmp_path)


def lay_out(root, *names, content=b""):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


@pytest.mark.parametrize(
    "mask",
    [
        *("a_segmentation.png", "b/A_Segmentation.PNG", "a_superpixels.png", "a_attribute_pigment_network.png"),
        *("masks/a_mask.png", "a-mask.png", "a_GroundTruth.png", "a gt.png", "masks/a.png", "deep/GT_masks/x/a.png"),
        *("HAM10000_segmentations_lesion_tschandl/a.png", "ISIC2018_Task1_Training_GroundTruth/a.png"),
    ],
)
def test_masks_are_known_by_their_names(tmp_path, mask):
    lay_out(tmp_path, "mel/a.jpg", "mel/b.jpg", mask)
    files = list_files(tmp_path)
    assert files.images == ["mel/a.jpg", "mel/b.jpg"]
    assert list(files.masks) == [mask]
    assert files.masks[mask].lower() == "a"


@pytest.mark.parametrize("name", ["face_mask.jpg", "masks/c.jpg", "unmasked/a2.jpg", "mel/a_lesion.jpg", "gt.jpg"])
def test_photographs_are_no_masks(tmp_path, name):
    lay_out(tmp_path, "mel/a.jpg", name)
    assert name in list_files(tmp_path).images


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((f"1{suffix}", b"") for suffix in (".HEIC", ".dcm", ".CR2", ".nef", ".dng", ".avif", ".svg", ".pdf", ".psd")),
        ("IM0001", bytes(128) + b"DICM"),
        ("1.2.840.113619.2", bytes(128) + b"DICM"),
        ("photo", b"\xff\xd8\xff\xe0"),
    ],
)
def test_images_that_cannot_be_read_are_named(tmp_path, name, content):
    lay_out(tmp_path, "mel/a.jpg")
    lay_out(tmp_path, f"mel/{name}", content=content)
    lay_out(tmp_path, "README", "table.csv", "mel/notes.txt", "mel/model.onnx")
    assert list_files(tmp_path)[::2] == (["mel/a.jpg"], [f"mel/{name}"])
    (tmp_path / "mel" / "a.jpg").unlink()
    with pytest.raises(
        UserError, match=r"holds no image .*; 1 file left out, of formats that can't be read .*convert them to"
    ):
        list_files(tmp_path)


@pytest.mark.parametrize(
    ("read", "data", "message"),
    [
        (read_ham10000, "ham/HAM10000_metadata.csv", "set data.root={root}/ham, which has it"),
        (read_dsm2025, "dsm/train/0/1.jpg", "set data.root={root}/dsm, which has it"),
        (read_ph2, "images/IMD002.bmp", "holds no PH2_simple_dataset.csv"),
        (partial(read_isic, name="isic2019", truth="truth.csv"), "images/ISIC_1.jpg", "holds no truth.csv"),
    ],
)
def test_a_root_without_the_table_is_refused_before_the_images_are_listed(read, data, message, tmp_path, monkeypatch):
    def refuse(_: object) -> None:
        raise AssertionError("all files were listed")

    for module in ("ham10000", "dsm2025", "ph2", "isic"):
        monkeypatch.setattr(f"skinlab.data.readers.{module}.list_files", refuse)
    (tmp_path / data).parent.mkdir(parents=True)
    (tmp_path / data).touch()
    with pytest.raises(UserError, match=message.format(root=tmp_path)):
        read(tmp_path)
