"""A job of a sweep does not print again what an earlier one has printed."""

import logging

import pytest

from skinlab.cli.sweeps.repeats import not_printed

LOG = """2026-01-01 12:00:00 WARNING: 12 images are duplicates
2026-01-01 12:00:01 INFO: run directory {run} will hold
  config.yaml
  metrics.json
2026-01-01 12:00:02 INFO: epoch 1 of 2: val/loss 1.25
"""


@pytest.mark.parametrize(
    ("level", "message", "is_new"),
    [
        ("WARNING", "12 images are duplicates", False),
        ("WARNING", "12 images", True),
        ("WARNING", "2 images are duplicates", True),
        ("INFO", "12 images are duplicates", True),
        ("INFO", "run directory {run} will hold\n  config.yaml\n  metrics.json", False),
        ("INFO", "epoch 1 of 2: val/loss 1.5", True),
    ],
)
def test_lines_of_an_earlier_job_are_left_out(tmp_path, level, message, is_new):
    earlier, run_dir = tmp_path / "0", tmp_path / "1"
    earlier.mkdir()
    (earlier / "log.txt").write_text(LOG.format(run=earlier))
    record = logging.makeLogRecord({"levelname": level, "msg": message.format(run=run_dir)})
    assert not_printed(earlier, run_dir)(record) == is_new


def test_all_lines_are_new_without_a_log(tmp_path):
    record = logging.makeLogRecord({"levelname": "INFO", "msg": "12 images are duplicates"})
    assert not_printed(tmp_path, tmp_path / "1")(record)
