"""Downloads from a server on this machine: cuts, busy times, checksums, and files that change meanwhile."""

import hashlib
import logging
import socket

import pytest

from skinlab.errors import UserError
from skinlab.fetching.catalogue import DATA_SETS, KAGGLE, RemoteFile, Source
from skinlab.fetching.download import Downloader
from tests.fetching.server import Served, serving

CONTENT = bytes(range(256)) * 40
MD5 = hashlib.md5(CONTENT).hexdigest()
SOURCE = Source("1", "https://page", (RemoteFile("a.zip", "isic", "/a"),))


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def downloader(server, tmp_path):
    """A downloader without pauses from the server into an empty folder."""
    return Downloader(tmp_path, SOURCE, {"isic": server.address, KAGGLE: server.address}, {}, 3, 0.0, 5.0)


def remote(md5=None, host="isic", **more):
    return RemoteFile("a.zip", host, "/a", md5=md5, **more)


def nothing(n):
    pass


def test_a_cut_download_goes_on_where_it_was_cut(server, downloader, tmp_path):
    server.files["/a"] = Served(CONTENT, cut_after=3000, cuts=2)
    advanced = []
    path = downloader.fetch(remote(MD5), advanced.append)
    assert path.read_bytes() == CONTENT
    assert server.asked("/a") == ["", "bytes=3000-", "bytes=6000-"]
    assert sum(advanced) == len(CONTENT)
    assert [each.name for each in tmp_path.iterdir()] == ["a.zip"]


def test_a_server_that_falls_silent_counts_as_cut(server, downloader):
    downloader.timeout = 0.1
    server.files["/a"] = Served(CONTENT, cut_after=3000, cuts=1, stall=0.3)
    assert downloader.fetch(remote(MD5), nothing).read_bytes() == CONTENT
    assert server.asked("/a") == ["", "bytes=3000-"]


def test_another_process_goes_on_too(server, downloader, tmp_path):
    server.files["/a"] = Served(CONTENT, cut_after=3000, cuts=99)
    downloader.retries = 0
    with pytest.raises(UserError, match="the same command goes on later from 0 MB"):
        downloader.fetch(remote(), nothing)
    assert (tmp_path / "a.zip.part").stat().st_size == 3000
    server.files["/a"].cuts = 0
    again = Downloader(tmp_path, SOURCE, {"isic": server.address}, {}, 3, 0.0, 5.0)
    assert again.fetch(remote(), nothing).read_bytes() == CONTENT
    assert server.asked("/a")[-1] == "bytes=3000-"


def test_a_file_that_changed_meanwhile_is_downloaded_anew(server, downloader):
    server.files["/a"] = Served(b"old" * 2000, cut_after=3000, cuts=99)
    downloader.retries = 0
    with pytest.raises(UserError):
        downloader.fetch(remote(), nothing)
    server.files["/a"] = Served(CONTENT, etag='"2"')
    assert downloader.fetch(remote(), nothing).read_bytes() == CONTENT


@pytest.mark.parametrize("more", [{"ranges": False}, {"etag": ""}, {"etag": 'W/"1"'}])
def test_a_server_that_cannot_continue_begins_again(server, downloader, more):
    server.files["/a"] = Served(CONTENT, cut_after=3000, cuts=1, **more)
    advanced = []
    assert downloader.fetch(remote(), advanced.append).read_bytes() == CONTENT
    assert sum(advanced) == len(CONTENT)


def test_a_complete_part_is_not_downloaded_again(server, downloader, tmp_path):
    server.files["/a"] = Served(CONTENT)
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    assert downloader.fetch(remote(MD5), nothing).read_bytes() == CONTENT
    assert server.asked("/a") == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, downloader, caplog, status):
    server.files["/a"] = Served(CONTENT, busy=3, busy_status=status, retry_after="0")
    with caplog.at_level(logging.WARNING):
        assert downloader.fetch(remote(MD5), nothing).read_bytes() == CONTENT
    assert f"is busy (HTTP {status}); again in 0 s (3 of 3)" in caplog.text


def test_pauses_double_and_the_server_s_own_counts(server, downloader, monkeypatch):
    pauses = []
    monkeypatch.setattr("skinlab.fetching.download.time.sleep", pauses.append)
    downloader.pause = 1.0
    server.files["/a"] = Served(CONTENT, busy=3)
    downloader.fetch(remote(), nothing)
    assert pauses == [1, 2, 4]
    server.files["/b"] = Served(CONTENT, busy=1, retry_after="7")
    downloader.fetch(RemoteFile("b", "isic", "/b"), nothing)
    assert pauses[3:] == [7]


def test_a_server_that_stays_busy_or_away_ends_in_one_line(server, downloader):
    server.files["/a"] = Served(CONTENT, busy=99)
    with pytest.raises(
        UserError, match=r"is busy \(HTTP 503\), 4 times in a row: the same command goes on later .* archive=a.zip"
    ):
        downloader.fetch(remote(), nothing)
    downloader.hosts = {"isic": "http://127.0.0.1:1"}
    with pytest.raises(UserError, match=r"127.0.0.1:1 can't be reached \(.*Connection refused"):
        downloader.fetch(remote(), nothing)


def test_all_files_that_are_needed_are_named_where_one_can_not_be_had(downloader, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", no_name)
    downloader.hosts = {"dataverse": "http://nowhere.example"}
    downloader.source = DATA_SETS["ham10000"].sources["dataverse"]
    names = "HAM10000_metadata, HAM10000_images_part_1.zip, HAM10000_images_part_2.zip"
    with pytest.raises(UserError) as caught:
        downloader.fetch(downloader.source.files[0], nothing)
    assert str(caught.value).endswith(
        f"download {names} from https://doi.org/10.7910/DVN/DBW86T and set 'archive=[{names.replace(', ', ',')}]'"
    )


def test_a_host_without_an_address_is_not_asked_again(downloader, monkeypatch):
    monkeypatch.setattr("skinlab.fetching.download.time.sleep", lambda _: pytest.fail("it waits"))
    monkeypatch.setattr("socket.getaddrinfo", no_name)
    downloader.hosts = {"isic": "http://nowhere.example"}
    with pytest.raises(UserError, match=r"nowhere.example can't be found .*: connect to a network.* archive=a.zip"):
        downloader.fetch(remote(), nothing)


def test_a_name_that_is_lost_later_is_waited_for(server, downloader, monkeypatch):
    server.files["/a"] = Served(CONTENT)
    downloader.fetch(remote(), nothing)
    monkeypatch.setattr("socket.getaddrinfo", no_name)
    downloader.hosts = {"isic": "http://nowhere.example"}
    with pytest.raises(UserError, match=r"nowhere.example can't be reached .*, 4 times in a row"):
        downloader.fetch(RemoteFile("b", "isic", "/b"), nothing)


def no_name(*_words, **_more):
    raise socket.gaierror(-2, "Name or service not known")


def test_a_wrong_checksum_is_tried_once_more(server, downloader, tmp_path):
    server.files["/a"] = Served(CONTENT, damaged=1)
    assert downloader.fetch(remote(MD5), nothing).read_bytes() == CONTENT
    server.files["/a"] = Served(CONTENT, damaged=9)
    (tmp_path / "a.zip").unlink()
    advanced = []
    with pytest.raises(UserError, match="does not have the published checksum, 2 times: nothing of it is kept"):
        downloader.fetch(remote(MD5), advanced.append)
    assert not list(tmp_path.iterdir())
    assert sum(advanced) == 0


def test_kaggle_publishes_its_checksum_in_a_header(server, downloader):
    server.redirects["/a"] = "/signed"
    server.files["/signed"] = Served(CONTENT, goog=True, damaged=1)
    assert downloader.fetch(remote(host=KAGGLE), nothing).read_bytes() == CONTENT
    assert len(server.asked("/signed")) == 2


def test_a_missing_file_says_where_it_can_be_had(downloader):
    with pytest.raises(
        UserError, match=r"/a can't be had \(HTTP 404\): download a.zip from https://page and set archive"
    ):
        downloader.fetch(remote(), nothing)


@pytest.mark.parametrize(
    ("login", "remedy"), [(None, "make an API token"), ("wrong", "accept the rules on https://page")]
)
def test_kaggle_needs_a_login_and_accepted_rules(server, downloader, login, remedy):
    server.files["/a"] = Served(CONTENT, login="Bearer right")
    downloader.logins = {KAGGLE: (lambda request: request) if login else None}
    with pytest.raises(UserError, match=remedy):
        downloader.fetch(remote(host=KAGGLE), nothing)


@pytest.mark.parametrize("more", [{}, {"ranges": False}])
def test_the_size_is_asked_without_a_download(server, downloader, more):
    server.files["/a"] = Served(CONTENT, **more)
    assert downloader.size(remote()) == len(CONTENT)
    assert downloader.size(remote(size=5)) == 5
    server.files["/a"] = Served(CONTENT, ranges=False, sized=False)
    assert downloader.size(remote()) is None
    assert downloader.fetch(remote(MD5), nothing).read_bytes() == CONTENT
