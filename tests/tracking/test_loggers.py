import importlib.util
import logging

import pytest
import torch
from pytorch_lightning.loggers.logger import DummyLogger

from skinlab.errors import UserError
from skinlab.settings.base import create
from skinlab.settings.groups import LoggerSettings
from skinlab.tracking.fault_tolerant_loggers import CsvLogger, FaultTolerantWandbLogger
from skinlab.tracking.loggers import check_loggers, close_loggers, log_outcome, open_loggers

WANDB = {"project": "p", "entity": None, "name": None, "group": None, "tags": [], "offline": True}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"global_step": 20}, path)
    return path


def log_epochs(logger, epochs, steps=10):
    for epoch in epochs:
        logger.log_metrics({"lr": 0.1}, epoch * steps + 4)
        logger.log_metrics({"epoch": epoch, "val/loss": 1.5 - epoch / 10}, epoch * steps + 9)
        logger.log_metrics({"epoch": epoch, "train/loss": 1.0}, epoch * steps + 9)


def test_rows_are_on_disk_at_once_and_new_figures_get_a_column(tmp_path):
    logger = CsvLogger(tmp_path / "metrics.csv")
    logger.log_metrics({"epoch": 0, "a": 0.1234567}, 3)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,step,a\n0,3,0.1234567\n"
    logger.log_metrics({"epoch": 0, "b": float("nan")}, 3)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,step,a,b\n0,3,0.1234567,\n0,3,,nan\n"


def test_a_resumed_run_has_the_rows_of_an_uninterrupted_one(tmp_path, checkpoint):
    whole = CsvLogger(tmp_path / "whole.csv")
    log_epochs(whole, range(4))
    log_epochs(CsvLogger(tmp_path / "run" / "csv" / "metrics.csv"), range(3))  # killed in epoch 3, continued after 2
    (tmp_path / "run" / "csv" / "metrics.csv").open("a").write("3,3")
    (logger,) = open_loggers(create(LoggerSettings, {"csv": {}}), tmp_path / "run", {}, resumed=checkpoint)
    log_epochs(logger, [2, 3])
    assert logger.path.read_text() == whole.path.read_text()


def test_a_run_that_starts_anew_keeps_nothing(tmp_path):
    log_epochs(CsvLogger(tmp_path / "metrics.csv"), range(2))
    assert CsvLogger(tmp_path / "metrics.csv").path.read_text() == "epoch,step\n"


def test_a_full_disk_is_reported_in_one_line(tmp_path):
    logger = CsvLogger(tmp_path / "metrics.csv")
    logger.log_metrics({"epoch": 0}, 0)
    logger.path.unlink()
    logger.path.mkdir()
    with pytest.raises(UserError, match=r"can't write .*metrics\.csv .*hydra\.run\.dir="):
        logger.log_metrics({"epoch": 1}, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wandb": WANDB | {"api_key": "abc"}}, "wandb.api_key: no such setting"),
        ({"csv": {"flush": 1}}, "csv.flush: no such setting; csv has no settings"),
        ({"wand": {}}, r"wand: no such setting \(did you mean wandb"),
        ({"csv": True}, "csv=true: a group of settings is expected"),
    ],
)
def test_unknown_settings_of_loggers_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        create(LoggerSettings, settings)


def test_other_ranks_open_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    (logger,) = open_loggers(create(LoggerSettings, {"csv": {}, "wandb": WANDB, "tensorboard": {}}), tmp_path, {})
    assert isinstance(logger, DummyLogger)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_tensorboard_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"skinlab\[tensorboard\]"):
        check_loggers(create(LoggerSettings, {"tensorboard": {}}))
    check_loggers(create(LoggerSettings, {"csv": {}}))


def test_tensorboard_and_csv_side_by_side(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = open_loggers(create(LoggerSettings, {"csv": {}, "tensorboard": {}}), tmp_path, {})
    for logger in loggers:
        logger.log_metrics({"epoch": 0, "val/loss": 0.5}, 9)
    log_outcome(loggers, tmp_path, {"test/f1_macro": 0.25, "best/epoch": 0}, step=10)
    close_loggers(loggers)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Scalars("val/loss")[0].value == 0.5
    assert events.Scalars("test/f1_macro")[0].step == 10
    assert "test/f1_macro" not in (tmp_path / "csv" / "metrics.csv").read_text()


class BrokenRun:
    """A W&B run whose process was killed."""

    offline, summary = False, {}

    class settings:  # noqa: N801
        sync_dir = "/runs/a b/wandb/run-1"

    def log(self, *_):
        raise ConnectionResetError("Connection lost")

    def finish(self, exit_code):
        raise ConnectionResetError("Connection lost")


def test_a_dead_wandb_process_is_reported_once_and_nothing_raises(caplog):
    logger = FaultTolerantWandbLogger(experiment=BrokenRun())
    with caplog.at_level(logging.WARNING):
        logger.log_metrics({"a": 1.0}, 1)
        logger.log_metrics({"a": 1.0}, 2)
        logger.log_summary({"a": 1.0})
        close_loggers([logger], ok=False)
    assert [record.message for record in caplog.records] == [
        "W&B stopped working (Connection lost); going on without it",
        "W&B has not got everything (Connection lost); later: wandb sync --include-online '/runs/a b/wandb/run-1'",
    ]
