"""Errors of the operating system: one line with the setting, the place and the remedy."""

import errno
import os
from pathlib import Path

import pytest

from skinlab.cli.entry import run_command
from skinlab.cli.system_errors import REMEDIES, explain_os_error


@pytest.mark.parametrize("number", REMEDIES)
def test_an_error_with_a_place_names_setting_place_and_remedy(tmp_path, number):
    error = OSError(number, os.strerror(number), str(tmp_path / "cache" / "a.npy"))
    line = explain_os_error(error, {"data": {"cache_dir": str(tmp_path / "cache")}, "run_dir": str(tmp_path / "run")})
    remedy = REMEDIES[number].format(workers="data.num_workers")
    assert line == f"data.cache_dir={tmp_path}/cache: {tmp_path}/cache/a.npy: {os.strerror(number)}; {remedy}"
    assert "\n" not in line


def test_the_run_directory_is_named_as_people_set_it(tmp_path):
    error = OSError(errno.EROFS, "Read-only file system", str(tmp_path))
    assert explain_os_error(error, {"run_dir": str(tmp_path)}).startswith(f"hydra.run.dir={tmp_path}: Read-only")


def test_a_relative_run_directory_that_is_a_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = explain_os_error(FileExistsError(errno.EEXIST, "File exists", "note.txt"), {"hydra.run.dir": "note.txt"})
    assert line == "hydra.run.dir=note.txt: File exists; a file lies where a folder is expected; choose another place"


def test_a_full_disk_without_a_place_names_the_places_that_are_full(tmp_path, monkeypatch):
    free = {tmp_path: 0}
    monkeypatch.setattr("shutil.disk_usage", lambda path: os.terminal_size((0, free.get(path, 1 << 40))))
    monkeypatch.setattr("skinlab.cli.system_errors._is_full", lambda path: free.get(path) == 0)
    line = explain_os_error(OSError(errno.ENOSPC, "No space left on device"), {"output": str(tmp_path), "ckpt": "/x"})
    assert line.startswith(f"No space left on device (output={tmp_path}")
    assert "free some space" in line
    assert "ckpt" not in line


def test_the_error_of_a_bug_stays_a_bug():
    assert explain_os_error(OSError("Caught in a worker"), {"run_dir": "/x"}) is None
    assert explain_os_error(OSError(errno.EBADF, "Bad file descriptor", 7), {}) is None


@pytest.fixture
def refused(monkeypatch, capsys):
    """Run a command in this process, which must end with exit code 2 and one line: overrides in, the line out."""

    def start(work, *words):
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the command sets it
        monkeypatch.setattr("sys.argv", ["train", *words])
        monkeypatch.setattr("skinlab.cli.entry.log_to_terminal", lambda: None)
        monkeypatch.setattr("skinlab.cli.registry.load", lambda name: lambda settings, _: work(settings))
        with pytest.raises(SystemExit) as ended:
            run_command("train")
        (line,) = capsys.readouterr().err.splitlines()
        assert ended.value.code == 2
        return line

    return start


@pytest.mark.skipif(not Path("/proc/version").is_file(), reason="a file system that no one can write is needed")
@pytest.mark.parametrize("place", ["/proc/version/run", f"/tmp/{300 * 'a'}"])
def test_a_run_directory_that_cannot_be_is_a_users_mistake(refused, place):
    line = refused(lambda settings: None, "data=folder", f"hydra.run.dir={place}")
    assert line.startswith(f"error: hydra.run.dir={place}: ")


def test_an_error_within_a_command_is_explained_by_its_settings(refused, tmp_path):
    def fail(settings):
        raise OSError(errno.EROFS, "Read-only file system", f"{settings.data.cache_dir}/a")

    line = refused(fail, f"data.cache_dir={tmp_path}/cache", f"hydra.run.dir={tmp_path}/run")
    assert line.startswith(f"error: data.cache_dir={tmp_path}/cache: {tmp_path}/cache/a: Read-only")
    assert not (tmp_path / "run").exists()
