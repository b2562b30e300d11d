"""Shell completion: commands, choices of config groups and names of settings, from the files in ``conf`` alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from skinlab.cli.conf import config_directory
from skinlab.cli.registry import COMMANDS

SCRIPTS = {
    "bash": """_skinlab() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}" typed
    local word="${line##* }"
    IFS=' ' read -ra typed <<< "${line% *}"
    COMPREPLY=($(skinlab --candidates "${typed[@]:1}" "$word" 2>/dev/null))
    [[ "$word" == *=* ]] && COMPREPLY=("${COMPREPLY[@]#*=}")
    compopt -o nospace
}
complete -o default -F _skinlab skinlab""",
    "zsh": """_skinlab() {
    local -a found
    found=("${(@f)$(skinlab --candidates "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -S "" -- $found
}
compdef _skinlab skinlab""",
}


def candidates(typed: Sequence[str]) -> list[str]:
    """Return the completions of the argument at the cursor.

    Args:
        typed: the arguments up to the cursor: the command, its overrides, and the one to complete.

    >>> candidates(["tr", "tr"])
    ['train']
    >>> candidates(["train", "loss=fo"])
    ['loss=focal']
    >>> candidates(["train", "loss=focal", "loss.ga"])
    ['loss.gamma=']
    """
    name, *overrides, word = typed if len(typed) > 1 else [*typed, "", ""][:2]
    if name not in COMMANDS:
        return [command for command in COMMANDS if command.startswith(name)]
    group, sign, _ = word.partition("=")
    choices_typed = dict(each.split("=", 1) for each in overrides if "=" in each)
    settings = sorted(set(_settings(name, choices_typed)))
    if sign:
        files = (config_directory() / group).glob("*.yaml") if group in settings else ()
        choices = sorted(path.stem for path in files if path.stem != "default")
        found: Iterator[str] = (f"{group}={choice}" for choice in choices)
    else:
        found = (f"{setting}=" for setting in settings)
    return [each for each in found if each.startswith(word)]


def _settings(command: str, choices_typed: Mapping[str, str]) -> Iterator[str]:
    """Yield the groups and the dotted names of the settings of a command, by the typed choices or else its defaults."""
    content = _read(config_directory() / f"{command}.yaml")
    for entry in content.pop("defaults", []):
        for group, choice in entry.items() if isinstance(entry, Mapping) else ():
            plain = str(group).removeprefix("override ").partition("@")[0]
            if plain.startswith("hydra"):
                continue
            if plain not in ("command", "evidence"):
                yield plain
            used = choice if isinstance(choice, list) else [choice]
            if choice is not None and plain in choices_typed:  # null: an overlay such as experiment=, of other groups
                used = choices_typed[plain].strip("[]").split(",")
            for each in used:
                below = plain if plain != "command" and "@" not in str(group) else ""
                yield from _names(_with_defaults(plain, str(each)), below)
    yield from _names(content, "")


def _with_defaults(group: str, choice: str) -> dict[str, Any]:
    content = _read(config_directory() / group / f"{choice}.yaml")
    inherited = [each for each in content.pop("defaults", []) if isinstance(each, str) and each != "_self_"]
    for each in inherited:
        content = _with_defaults(group, each) | content
    return content


def _names(content: Mapping[str, Any], place: str) -> Iterator[str]:
    for key, value in content.items():
        name = f"{place}.{key}" if place else str(key)
        if key == "_target_" or name.startswith("hydra"):
            continue
        if isinstance(value, Mapping) and value:
            yield from _names(value, name)
        else:
            yield name


def _read(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}
