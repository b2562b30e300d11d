import os

import pytest

from skinlab.data.readers.listing import absolute, list_images
from skinlab.errors import UserError


def test_images_are_found_anywhere_and_nothing_else(tmp_path):
    for name in ("b/c/1.JPG", "a.png", "b/2.jpeg", "notes.txt", ".hidden.jpg", "__MACOSX/1.jpg", ".cache/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_images(tmp_path) == ["a.png", "b/2.jpeg", "b/c/1.JPG"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "1.jpg").touch()
    (root / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    assert list_images(root) == ["link/1.jpg"]


def test_a_root_that_is_missing_or_bare_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        list_images(tmp_path / "none")
    with pytest.raises(UserError, match="holds no image"):
        list_images(tmp_path)


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert absolute("~/ham") == f"{tmp_path}/ham"


def test_a_name_that_no_table_could_hold_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"n\xe4vus.jpg")).touch()
    with pytest.raises(UserError, match=r"not UTF-8, 'n\\udce4vus\.jpg': rename it"):
        list_images(tmp_path)
