"""What a message tells the user to set or to run exists where the message is shown."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from skinlab.cli.conf import config_directory
from skinlab.cli.registry import COMMANDS, settings_model
from skinlab.settings.base import walk

PACKAGE = Path(__file__).parents[1] / "skinlab"
# Words before "=" that are no settings of a command: Hydra's own, examples of an override, choices of plugins.
NO_SETTINGS = {"key", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.sweeper.direction", "plugins"}
NO_SETTINGS |= {"mean", "std"}  # of a file of weights
NO_SETTINGS |= {"finetune"}  # a group of train that sets what other groups have
# Their ValueErrors name the arguments of functions, too; these have addresses and markup; commands are checked above.
PURE = {"evaluation", "phantom", "processes", "fetching", "report", "commands"}
SETTING = re.compile(r"(?<![\w.=%/\[{-])([a-z_]+(?:\.[a-z_]+)*)=")
ADVICE = re.compile(r"skinlab\.([a-z]+)((?: [^ ;,]+=[^ ;,]*)*)")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a file but its docstrings, what is filled in left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values]
            yield node.lineno, "".join(found)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts | docs:
            yield node.lineno, node.value


def settings_of(command: str) -> set[str]:
    """The names of a command's settings, its config groups, and what stands below those that take any name."""
    names = {name for name, _, _ in walk(settings_model(command))} | set(COMMANDS[command].aliases)
    groups = {path.name for path in config_directory().iterdir() if path.is_dir()}
    return names | {group for group in groups if group in {name.partition(".")[0] for name in names}}


def is_setting(name: str, known: set[str]) -> bool:
    """Whether a command has a setting; those of parts with a _target_ are checked when they are built."""
    parent = name.rpartition(".")[0]
    return name in known or name in NO_SETTINGS or parent in {"loss", "semi", "ssl", "data.columns", "columns", "debug"}


FILES = [
    (path, path.stem)
    for folder in ("commands", "settings/commands")
    for path in sorted((PACKAGE / folder).glob("*.py"))
    if path.stem in COMMANDS
]


@pytest.mark.parametrize(("path", "command"), FILES, ids=lambda each: str(getattr(each, "parent", each)))
def test_a_command_s_messages_name_its_own_settings(path: Path, command: str):
    known = settings_of(command)
    for line, text in texts(path):
        own = re.split(r"(?:python -m )?skinlab[. ]", text)[0]  # what follows is for the command that is named
        wrong = [name for name in SETTING.findall(own) if not is_setting(name, known | {"debug"})]
        assert not wrong, f"{path.name}:{line}: {text}: {wrong} is no setting of {command}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_command_that_a_message_names_has_the_settings_beside_it(path: Path):
    for line, text in texts(path):
        for command, overrides in ADVICE.findall(text):
            if command not in COMMANDS:
                continue
            names = [name.strip("'\"") for name in re.findall(r" (['\"]?[a-z_.]+)=", overrides)]
            wrong = [name for name in names if not is_setting(name, settings_of(command))]
            assert not wrong, f"{path.name}:{line}: skinlab.{command} has no setting {wrong}: {text}"


def imported(path: Path) -> set[Path]:
    """The modules of skinlab that a file imports, at its top or below."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skinlab"):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    places = [PACKAGE.parent / (name.replace(".", "/") + ".py") for name in names]
    return {place for place in places if place.is_file()}


def reached(command: str) -> set[Path]:
    """The modules whose messages a command may show: those that it imports, and those that these import."""
    found, new = set[Path](), {PACKAGE / "commands" / f"{command}.py"}
    while new:
        found |= new
        new = {each for path in new for each in imported(path)} - found
    return found


def test_a_shared_module_s_messages_name_settings_of_a_command_that_uses_it():
    known: dict[Path, set[str]] = {}
    for command in COMMANDS.keys() - {"doctor"}:  # it is about all others
        for path in reached(command):
            known.setdefault(path, set()).update(settings_of(command))
    wrong = []
    for path in sorted(known):
        if path.relative_to(PACKAGE).parts[0] in PURE:
            continue
        for line, text in texts(path):
            own = re.split(r"(?:python -m )?skinlab[. ]", text)[0]
            names = [name for name in SETTING.findall(own) if not is_setting(name, known[path]) and own != "data.root="]
            wrong += [f"{path.relative_to(PACKAGE)}:{line}: {name}= in {text!r}" for name in names]
    assert not wrong, "\n".join(wrong)
