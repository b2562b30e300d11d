"""The command doctor: one screen, exit code 0 where commands can work and 2 where they can't."""

import pytest

from skinlab.cli.config import compose_settings
from skinlab.commands import doctor as command
from skinlab.errors import UserError
from skinlab.runs.machine import ERROR, Finding


def test_it_fits_one_screen(run, tmp_path):
    done = run("doctor", f"data_home={tmp_path}", COLUMNS="100")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 24
    for topic in ("packages", "devices", "JPEG", "data", "weights", "disk", "W&B"):
        assert any(topic in line for line in lines), topic
    assert "skinlab fetch data=NAME" in " ".join(done.stdout.split())
    assert not list(tmp_path.iterdir())


def test_what_no_command_works_without_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(
        command, "packages", lambda: [Finding("packages", ERROR, "timm is not installed; pip install it")]
    )
    with pytest.raises(UserError, match="packages: timm is not installed; pip install it"):
        command.doctor(compose_settings("doctor", []))
    assert "devices" in capsys.readouterr().out, "the screen is printed all the same"
