"""The commands in the README have settings that exist and that pass their checks."""

import re
import shlex
from pathlib import Path

import pytest

from skinlab.cli.command_line import prepare_command_line
from skinlab.cli.config import compose_settings
from skinlab.cli.registry import COMMANDS, list_settings

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
CALLS = sorted(set(re.findall(r"^(?:OMP_NUM_THREADS=1 )?python -m skinlab\.(\w+) (.+)$", TEXT, re.MULTILINE)))


def test_every_command_is_in_the_readme():
    assert {name for name, _ in CALLS} == set(COMMANDS)


@pytest.mark.parametrize(("name", "line"), CALLS)
def test_a_command_of_the_readme_composes(name, line):
    words = shlex.split(line, comments=True)
    sweep = "-m" in words
    overrides = prepare_command_line(
        [word for word in words if word != "-m"], list_settings(name), COMMANDS[name].aliases
    )
    kept = [re.sub(r"=(\w+),.*", r"=\1", word) if sweep else word for word in overrides]
    compose_settings(name, [word for word in kept if not word.startswith("hydra.") and word != "sweep=folds"])
