"""The program skinlab: the list of commands, running one, and completion."""

import runpy
import sys
from importlib.util import find_spec

import pytest

from skinlab.cli.conf import config_directory
from skinlab.cli.program import main
from skinlab.cli.registry import COMMANDS


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch):
    """Call the program; returns what it was to run as a module, with its overrides."""

    def start(*overrides):
        ran = []
        monkeypatch.setattr(sys, "argv", ["skinlab", *overrides])
        monkeypatch.setattr(runpy, "run_module", lambda name, **_: ran.append((name, sys.argv[1:])))
        main()
        return ran

    return start


@pytest.mark.parametrize("overrides", [[], ["--help"], ["-h"]])
def test_it_lists_every_command_with_an_example(call, capsys, overrides):
    assert call(*overrides) == []
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name} " in shown
        assert command.summary in shown
        assert f"skinlab {name} {command.example}".rstrip() in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_it_runs_a_command_as_its_module(call, name):
    assert call(name, "seed=1", "-m") == [(f"skinlab.{name}", ["seed=1", "-m"])]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_module_its_function_s_module_and_its_config(name):
    assert find_spec(f"skinlab.{name}")
    assert find_spec(f"skinlab.commands.{name}")
    assert (config_directory() / f"{name}.yaml").is_file()


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("trian", "(did you mean train?)"),
        ("compare", "(did you mean evaluate?)"),
        ("Inference", "(did you mean predict?)"),
        ("zzz", "there are train, pretrain"),
    ],
)
def test_an_unknown_command_ends_in_one_line(call, capsys, word, remedy):
    with pytest.raises(SystemExit) as end:
        call(word)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: skinlab {word}: no such command")
    assert remedy in line


def test_completion_prints_a_script_or_candidates(call, capsys):
    call("--completion", "bash")
    assert "complete -o default -F _skinlab skinlab" in capsys.readouterr().out
    call("--candidates", "train", "loss=fo")
    assert capsys.readouterr().out == "loss=focal\n"
