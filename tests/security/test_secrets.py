"""Keys, tokens and passwords never reach a log, a config, a report, W&B or the terminal."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from skinlab.cli.entry import Refusal, _print_traceback
from skinlab.cli.sweeps.job_log import keep_error, read_error
from skinlab.errors import UserError
from skinlab.runs.run_log import CONFIG, LOG, keeping_log
from skinlab.settings.groups import WandbSettings
from skinlab.settings.secrets import masked
from skinlab.tracking.wandb_run import check_wandb

SECRET = "Sesame-Open-4711"  # of no form that is known
NAMES = ("WANDB_API_KEY", "HF_TOKEN", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD")


@pytest.mark.parametrize("name", NAMES)
def test_the_value_of_a_secret_variable_is_masked_wherever_it_stands(monkeypatch: pytest.MonkeyPatch, name: str):
    line = f"https://host/x?y={SECRET}: refused"
    assert masked(line) == line
    monkeypatch.setenv(name, SECRET)
    assert masked({"a": [line]}) == {"a": ["https://host/x?y=***: refused"]}


def test_a_short_value_is_a_word(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "none")
    assert masked("semi=none") == "semi=none"


def test_a_key_that_wandb_refuses_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_API_KEY", f" {SECRET} ")
    none = dict.fromkeys(("project", "entity", "name", "group", "tags"))
    try:
        check_wandb(WandbSettings(offline=True, **none))
    except UserError as error:
        assert SECRET not in str(error)  # noqa: PT017


def test_no_log_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    (tmp_path / CONFIG).touch()
    with pytest.raises(UserError), keeping_log(tmp_path):  # noqa: PT012
        logging.getLogger("skinlab.x").warning("got %s and https://me:pass@host/", SECRET)
        raise UserError(f"{SECRET} is wrong")
    text = (tmp_path / LOG).read_text()
    assert "https://***@host/" in text
    assert "*** is wrong" in text
    assert SECRET not in text
    keep_error(tmp_path, f"again {SECRET}")
    assert read_error(tmp_path) == "again ***"


def test_the_last_line_and_a_traceback_have_neither_secrets_nor_control_characters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KAGGLE_KEY", SECRET)
    try:
        raise ValueError(f"{SECRET}\x1b[2J of https://me:pass@host")
    except ValueError as error:
        Refusal(f"{error}\nerror: forged", verbose=True)
        _print_traceback(error)
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert not any(hidden in printed for hidden in (SECRET, "me:pass", "\x1b"))
    last = next(line for line in printed.splitlines() if line.startswith("error: "))
    assert last == "error: ***\\x1b[2J of https://***@host\\nerror: forged"
    assert "\nerror: forged\n" not in printed
