"""One process at a time works in a folder, and only that one cleans up."""

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from skinlab.errors import UserError
from skinlab.files import claim, claim_file, wait_until_free, write_text

HOLD = "import sys; from pathlib import Path; from skinlab.files import claim\nwith claim(Path(sys.argv[1])): "
HOLD += "print(flush=True); sys.stdin.read()"


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def test_the_refused_leaves_the_holder_its_lock(holder, tmp_path):
    for _ in range(2):
        with pytest.raises(UserError, match=f"in use by process {holder.pid}; wait"), claim(tmp_path / "run"):
            pass
    assert (tmp_path / "run" / ".lock").read_text() == str(holder.pid)
    holder.communicate()
    assert not (tmp_path / "run").exists(), "nothing else was in it"


def test_who_waits_begins_once_the_holder_ends(holder, tmp_path, caplog):
    threading.Timer(0.1, holder.communicate).start()
    with caplog.at_level(logging.INFO), claim(tmp_path / "run", wait=True):
        assert f"in use by process {holder.pid}: waiting for it" in caplog.text
        assert (tmp_path / "run" / ".lock").read_text() == str(os.getpid())


def test_workers_do_not_inherit_a_lock(tmp_path):
    fork = "import os, sys, time; from pathlib import Path; from skinlab.files import claim\n"
    fork += "with claim(Path(sys.argv[1])):\n if not os.fork(): print(os.getpid(), flush=True)\n time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", fork, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    worker = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    with claim(tmp_path / "run"):
        os.kill(worker, signal.SIGKILL)


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(UserError, match=r"/run can't be locked \(No locks available\)"), claim(tmp_path / "run"):
        pass


def test_whoever_waits_comes_after_and_a_killed_holder_holds_no_more(holder, tmp_path):
    holder.kill()
    with claim(tmp_path / "run", wait=True):
        assert (tmp_path / "run" / ".lock").read_text() == str(os.getpid())
        (tmp_path / "run" / "result").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["result"]


def test_a_job_of_a_killed_study_is_waited_for(holder, tmp_path, caplog):
    wait_until_free(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    ending = threading.Timer(0.1, holder.communicate)
    ending.start()
    with caplog.at_level(logging.INFO):
        wait_until_free(tmp_path / "run")
    ending.join()
    assert f"in use by process {holder.pid}: waiting for it" in caplog.text


def test_a_folder_that_this_process_holds_stays_held(tmp_path):
    with claim(tmp_path / "run"):
        with claim(tmp_path / "run"):
            pass
        assert (tmp_path / "run" / ".lock").is_file()


def test_a_file_is_held_by_its_name(tmp_path, monkeypatch):
    def locked(*_):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with claim_file(tmp_path / "p.csv"), claim_file(tmp_path / "q.csv"):
        (tmp_path / "p.csv").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
    monkeypatch.setattr("fcntl.flock", locked)
    with pytest.raises(UserError, match=rf"^output={tmp_path}/p\.csv is in use by"), claim_file(tmp_path / "p.csv"):
        pass


def test_what_a_killed_process_left_is_removed_where_nobody_else_may_write(tmp_path):
    left = [tmp_path / name for name in (".a.csv.x1y2z3_4.tmp", ".b.csv.x1y2z3_4.tmp", ".a.csv.mine.tmp")]
    for path in left:
        path.touch()
    write_text(tmp_path / "a.csv", "1")
    assert all(path.exists() for path in left), "another process may be writing it"
    with claim_file(tmp_path / "b.csv"):
        write_text(tmp_path / "b.csv", "1")
    assert [path.exists() for path in left] == [True, False, True]
    with claim(tmp_path):
        write_text(tmp_path / "a.csv", "2")
    assert [path.exists() for path in left] == [False, False, True]


def test_a_lock_that_is_a_link_is_refused(tmp_path):
    (tmp_path / ".lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(UserError, match="can't be written"), claim(tmp_path):
        pass
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize("place", ["/proc/x", "/proc/version/x", "/" + 300 * "x"])
def test_a_place_that_cannot_be_made_is_refused_at_once(place):
    with pytest.raises(UserError, match=f"output={place} can't be written"), claim(Path(place), "output"):
        pass
