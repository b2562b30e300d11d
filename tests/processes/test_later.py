"""Pages that jobs leave are made by their commands at the end, side by side."""

from pathlib import Path

from skinlab.processes import later
from skinlab.processes.later import PAGES_MISSING, leaves_pages, make_pages


def test_commands_run_side_by_side_and_those_that_fail_are_known(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(later, "available_cores", lambda: 2)
    runs = [tmp_path / name for name in ("a", "b", "c")]
    other = {runs[0]: runs[1], runs[1]: runs[0]}
    wait = "echo made; touch {own}.begun; while ! test -e {other}.begun; do sleep 0.02; done"
    commands = {run: ["timeout", "20", "sh", "-c", wait.format(own=run, other=other[run])] for run in runs[:2]}
    commands[runs[2]] = ["sh", "-c", "exit 3"]
    assert make_pages(commands) == {runs[2]: 3}
    assert capfd.readouterr().out == ""
    assert make_pages({}) == {}


def test_a_run_leaves_its_pages_as_long_as_it_has_the_mark(tmp_path: Path):
    assert not leaves_pages(tmp_path)
    (tmp_path / PAGES_MISSING).touch()
    assert leaves_pages(tmp_path)
