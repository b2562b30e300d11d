import pytest

from skinlab.data.readers.images import read_images
from skinlab.errors import UserError


def test_every_image_is_of_the_pool(tmp_path, caplog):
    for name in ("a.jpg", "deep/er/a.PNG", "notes.txt", "a_mask.png", "b.nef"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    manifest = read_images(tmp_path)
    assert manifest["image_id"].tolist() == manifest["group"].tolist() == ["a.jpg", "deep/er/a.PNG"]
    assert manifest["path"].tolist() == [f"{tmp_path}/{name}" for name in manifest["image_id"]]
    assert (manifest["split"] == "pool").all()
    assert (manifest["label"] == "").all()
    assert manifest.attrs == {"masks": ("a_mask.png",), "other_formats": ("b.nef",)}
    assert not caplog.records


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no image"):
        read_images(tmp_path)
