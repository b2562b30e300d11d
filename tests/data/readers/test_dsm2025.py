import logging

import pytest

from skinlab.data.readers.dsm2025 import read_dsm2025
from skinlab.errors import UserError


def lay_out(root, *images):
    for name in images:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_names_that_repeat_stay_apart(tmp_path, caplog):
    lay_out(tmp_path, "train/0/12.jpg", "train/1/12.jpg", "train/Unlabeled/12.PNG", "test/12.jpg", "preview.png")
    lay_out(tmp_path, "train/1/12_segmentation.png", "train/Unlabeled/13.dcm")
    with caplog.at_level(logging.WARNING):
        manifest = read_dsm2025(tmp_path)
    expected = ["test/12.jpg", "train/0/12.jpg", "train/1/12.jpg", "train/Unlabeled/12.PNG"]
    assert sorted(manifest["image_id"]) == expected
    left_out = {"masks": ("train/1/12_segmentation.png",), "other_formats": ("train/Unlabeled/13.dcm",)}
    assert manifest.attrs == left_out
    manifest = manifest.sort_values("image_id")
    assert manifest["path"].tolist() == [f"{tmp_path}/{name}" for name in manifest["image_id"]]
    assert manifest["label"].tolist() == ["", "0", "1", ""]
    assert manifest["split"].tolist() == ["held_out", "", "", "pool"]
    assert manifest["group"].tolist() == manifest["image_id"].tolist()
    assert "not used: preview.png" in caplog.text
    assert caplog.text.count("have no group") == 1


def test_another_folder_or_a_missing_class_is_refused(tmp_path):
    lay_out(tmp_path, "dsm/train/0/1.jpg", "dsm/train/unlabelled/1.jpg")
    with pytest.raises(UserError, match=r"unlabelled is no class of DSM-2025 \(did you mean Unlabeled\?\)"):
        read_dsm2025(tmp_path / "dsm")
    with pytest.raises(UserError, match=f"train/0 holds no image: set data.root={tmp_path}/dsm, which has it"):
        read_dsm2025(tmp_path)
    lay_out(tmp_path, "other/train/0/1.jpg")
    with pytest.raises(UserError, match=r"train/1 holds no image: data.root is the folder above train/"):
        read_dsm2025(tmp_path / "other")
