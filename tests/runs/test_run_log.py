"""The log of a run in its directory: nothing of a refused run, no secrets, how it ended; and the tree at its start."""

import logging

import pytest

from skinlab.errors import UserError
from skinlab.processes.signals import Stopped
from skinlab.runs.run_log import LOG, announce, keeping_log

log = logging.getLogger("skinlab.test")


@pytest.fixture(autouse=True)
def _level(caplog):
    caplog.set_level(logging.INFO)


def test_lines_from_before_the_config_are_kept_and_secrets_are_not(tmp_path):
    with keeping_log(tmp_path):
        log.info("reading %d images", 3)
        assert not list(tmp_path.iterdir())
        (tmp_path / "config.yaml").touch()
        log.warning("token=abc of hf_%s", 30 * "x")
        logging.getLogger("foreign").info("of another package")
    lines = (tmp_path / LOG).read_text().splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines] == ["INFO: reading 3 images", "WARNING: token=*** of ***"]
    log.info("after the run")
    assert len((tmp_path / LOG).read_text().splitlines()) == 2


def test_a_refused_run_leaves_nothing(tmp_path):
    def refused():
        with keeping_log(tmp_path):
            log.info("reading")
            raise UserError("seed=-1: a number of at least 0 is expected")

    with pytest.raises(UserError):
        refused()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_no_traceback_and_its_lines_are_written_later(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    (tmp_path / "config.yaml").touch()
    with keeping_log(tmp_path):
        with monkeypatch.context() as disk:
            disk.setattr("pathlib.Path.open", full)
            log.info("first")
        log.info("second")
    assert [line.split()[-1] for line in (tmp_path / LOG).read_text().splitlines()] == ["first", "second"]
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("error", "line"), [(Stopped(130), "stopped by a signal"), (UserError("a\nb"), "error: b")])
def test_a_resumed_run_appends_and_says_how_it_ended(tmp_path, error, line):
    (tmp_path / "config.yaml").touch()
    (tmp_path / LOG).write_text("before\n")
    with pytest.raises(type(error)), keeping_log(tmp_path):
        raise error
    before, last = (tmp_path / LOG).read_text().splitlines()
    assert before == "before"
    assert last.endswith(f"ERROR: {line}")


def test_the_tree_has_what_the_run_will_write(tmp_path, compose_train, compose_pretrain, caplog):
    announce(tmp_path, compose_train(run_dir=tmp_path))
    shown = caplog.text
    assert f"file://{tmp_path}/report.html" in shown
    assert "csv/metrics.csv" in shown
    assert "unscored until the test is opened" in shown
    caplog.clear()
    announce(tmp_path, compose_train("evidence=off", "logger=[]", "test=true", run_dir=tmp_path))
    assert "report.html" not in caplog.text
    assert "csv/" not in caplog.text
    assert "unscored" not in caplog.text
    caplog.clear()
    announce(tmp_path, compose_pretrain(run_dir=tmp_path))
    assert f"model.init={tmp_path}" in caplog.text
    assert "report.html" not in caplog.text
