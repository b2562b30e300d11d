"""Archives are unpacked below their folder only, completely or not at all."""

import contextlib
import random
import stat
import zipfile
from collections import namedtuple

import pytest

from skinlab.errors import UserError
from skinlab.fetching import unpack as module
from skinlab.fetching.unpack import unpack
from tests.fetching.server import zipped


def nothing(n):
    pass


def written(path, files):
    path.write_bytes(zipped(files))
    return path


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("files", "holds", "expected"),
    [
        (["a.jpg", "b.jpg"], None, ["a.jpg", "b.jpg"]),
        (["Input/a.jpg", "Input/LICENSE.txt", "__MACOSX/Input/._a.jpg"], None, ["LICENSE.txt", "a.jpg"]),
        (["dsm/train/0/1.jpg", "dsm/sample.csv"], "train", ["sample.csv", "train/0/1.jpg"]),
        (["train/0/1.jpg"], "train", ["train/0/1.jpg"]),
    ],
)
def test_folders_around_everything_are_left_out(tmp_path, files, holds, expected):
    archive = written(tmp_path / "a.zip", dict.fromkeys(files, b"x"))
    done = []
    unpack(archive, tmp_path / "to", done.append, holds=holds)
    assert names(tmp_path / "to") == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "to"]
    assert len(done) == len(expected)


@pytest.mark.parametrize("name", ["../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg", "C:/evil.jpg"])
def test_a_name_outside_the_folder_is_refused(tmp_path, name):
    archive = written(tmp_path / "a.zip", {"good.jpg": b"x", name: b"x"})
    with pytest.raises(
        UserError, match=r"^\S+a\.zip: \S+ leads outside its folder; nothing is unpacked, don't use this archive$"
    ):
        unpack(archive, tmp_path / "to", nothing)
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


@pytest.mark.parametrize("name", ["", ".", "a\nb.jpg"])
def test_what_is_no_name_of_a_file_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = zipfile.ZipInfo("x")
        member.filename = name
        archive.writestr(member, b"x")
    with pytest.raises(UserError, match="is no name of a file; nothing is unpacked"):
        unpack(tmp_path / "a.zip", tmp_path / "to", nothing)
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_links_and_repeated_names_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="link is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "to", nothing)
    with pytest.raises(UserError, match=r"has \./a\.jpg twice"):
        unpack(written(tmp_path / "b.zip", {"a.jpg": b"x", "./a.jpg": b"y"}), tmp_path / "to", nothing)


def test_a_damaged_archive_leaves_nothing_and_the_former_folder(tmp_path):
    archive = written(tmp_path / "a.zip", {"a.jpg": b"x" * 5000, "b.jpg": bytes(range(256)) * 20})
    content = bytearray(archive.read_bytes())
    content[200] ^= 0xFF
    archive.write_bytes(content)
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "old").touch()
    with pytest.raises(UserError, match="is damaged or no ZIP archive"):
        unpack(archive, tmp_path / "to", nothing)
    assert names(tmp_path) == ["a.zip", "to/old"]
    (tmp_path / "page.zip").write_text("<html>log in</html>")
    with pytest.raises(UserError, match="is damaged or no ZIP archive"):
        unpack(tmp_path / "page.zip", tmp_path / "to", nothing)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_is_damaged_anywhere_is_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("x/a.jpg", random.Random(0).randbytes(50) * 4)
    whole = (tmp_path / "a.zip").read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        (tmp_path / "a.zip").write_bytes(changed)
        with contextlib.suppress(UserError):  # some bytes, such as dates, don't matter
            unpack(tmp_path / "a.zip", tmp_path / "to", nothing)
            (found,) = (tmp_path / "to").rglob("*.*")
            assert found.read_bytes() == random.Random(0).randbytes(50) * 4


def test_another_archive_than_the_wanted_one_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no train"):
        unpack(written(tmp_path / "a.zip", {"x/a.jpg": b"x", "y/a.jpg": b"x"}), tmp_path / "to", nothing, holds="train")


def test_space_is_checked_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(10**12, 10**12 - 10, 10))
    archive = written(tmp_path / "a.zip", {"a.jpg": b"x" * 11})
    with pytest.raises(UserError, match=r"0.0 GB are needed to unpack a.zip, 0.0 GB are free"):
        unpack(archive, tmp_path / "to", nothing)
    assert names(tmp_path) == ["a.zip"]
