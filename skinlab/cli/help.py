"""The help of a command: its groups with their choices, its settings and examples, from the files in ``conf`` alone."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skinlab.cli.conf import PLUGIN_FOLDERS, choice_file, config_directory
from skinlab.cli.conf_comments import Setting, header, read_file, settings_of_file
from skinlab.cli.registry import COMMANDS
from skinlab.errors import UserError, nearest

FLAGS = {
    "GROUP --help": "the settings of a group, as {group} --help, or of another choice: {group}={choice} {group} --help",
    "-m key=A,B": "a run for each value, in turn",
    "--cfg job": "print the whole config and stop",
    "-v": "show the traceback of an error",
}
KEYS_WIDTH = 45  # of the keys of a mapping, which fit a terminal of 80 columns
INSIDE = ("reader.", "_")  # of a part: what its own file passes on


@dataclass
class Groups:
    """The groups of a command, each with its default choices, and the files of the settings that have no group."""

    chosen: dict[str, list[str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def help_text(command: str, typed: Sequence[str] = ()) -> str:
    """Return the help of a command, or of the groups and settings among the typed words.

    Args:
        command: its name.
        typed: the command line without the flag; ``GROUP=CHOICE`` counts as chosen.

    Raises:
        UserError: a word is neither a group nor a setting of the command.
    """
    groups = read_groups(command)
    for group, _, choice in (word.partition("=") for word in typed):
        if choice and group in groups.chosen:
            groups.chosen[group] = choice.strip("[]").split(",")
    asked = [word for word in typed if "=" not in word and not word.startswith("-")]
    own = list(_flat_settings(groups))
    names = [*groups.chosen, *dict.fromkeys(each.name.partition(".")[0] for each in own)]
    for word in asked:
        if word not in (*names, *(each.name for each in own)):
            hint = nearest(word, names) or f"; there are {', '.join(names)}"
            raise UserError(f"{word} --help: skinlab.{command} has no such group or setting{hint}")
    lines = [
        line for word in asked for line in (_group_lines if word in groups.chosen else _setting_lines)(word, groups)
    ]
    return "\n".join(lines if asked else _all(command, groups))


def read_groups(command: str) -> Groups:
    """Return the groups of a command, from the defaults list of its config."""
    groups, own = Groups(), config_directory() / f"{command}.yaml"
    for entry in read_file(own).get("defaults", []):
        for key, value in entry.items() if isinstance(entry, Mapping) else ():
            group, _, package = str(key).partition("@")
            choices = [str(each) for each in (value if isinstance(value, list) else [value]) if each is not None]
            if group == "command" or package:
                groups.files += [choice_file(group, each) for each in choices]
            elif not group.startswith("override"):
                groups.chosen[group] = choices
    for path in groups.files:  # grows while it is read: a file names others
        for entry in read_file(path).get("defaults", []):
            if isinstance(entry, str) and entry != "_self_":
                groups.files.append(choice_file("command", entry))
            for key, value in entry.items() if isinstance(entry, Mapping) else ():
                if str(key).startswith("/"):
                    groups.files.append(choice_file(str(key).partition("@")[0].strip("/"), str(value)))
    groups.files = [own, *dict.fromkeys(groups.files)]
    return groups


def choices_of(group: str) -> list[str]:
    """Return the choices of a group, those of plugins among them."""
    folders = [folder / group for folder in (config_directory(), *PLUGIN_FOLDERS)]
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")} - {"default"})


def group_settings(group: str, choice: str) -> dict[str, Setting]:
    """Return the settings of a choice by their names below the group, with those that it shares with the others."""
    path, found = choice_file(group, choice), dict[str, Setting]()
    if not path.is_file():
        return found
    for entry in read_file(path).get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            found |= group_settings(group, entry)
    for each in settings_of_file(path):
        if not each.name.startswith(INSIDE) and "._" not in each.name and each.name.partition(".")[0] != "hydra":
            before = found.get(each.name)
            found[each.name] = each if each.comment or not before else each._replace(comment=before.comment)
    return found


def _all(command: str, groups: Groups) -> list[str]:
    about = COMMANDS[command]
    lines = [f"python -m skinlab.{command}: {about.summary}.", f"usage: python -m skinlab.{command} [key=value ...]"]
    first = next(iter(groups.chosen), None)
    rows = [(f"  {name}", text) for name, text in FLAGS.items() if first or "GROUP" not in name]
    if first is not None:
        choice = choices_of(first)[-1]
        rows = [(name, text.format(group=first, choice=choice)) for name, text in rows]
        lines += ["", "Groups, written as GROUP=CHOICE; * is the default"]
        for group in groups.chosen:
            lines += _choice_lines(group, groups.chosen[group])
    lines += ["", "Settings, with their defaults", *_columns(list(_own_rows(groups)))]
    return [*lines, "", "Flags", *_columns(rows), "", "Examples", *(f"  {each}" for each in examples(command))]


def examples(command: str) -> list[str]:
    """Return the command lines that the help of a command ends with."""
    about = COMMANDS[command]
    return [f"python -m skinlab.{command} {words}".rstrip() for words in (about.example, *about.more_examples)]


def _flat_settings(groups: Groups) -> Iterator[Setting]:
    """Yield the settings outside of groups, those of a mapping by their dotted names."""
    for path in groups.files:
        for each in settings_of_file(path):
            if each.name.partition(".")[0] not in ("hydra", "run_dir", *groups.chosen):
                yield each


def _own_rows(groups: Groups) -> Iterator[tuple[str, str]]:
    """Yield a row for each setting outside of groups; a mapping has one with its comment, then its keys."""
    found: dict[str, list[Setting]] = {}
    for each in _flat_settings(groups):
        found.setdefault(each.name.partition(".")[0], []).append(each)
    for name, settings in found.items():
        first = settings[0]
        yield _row(first if first.name == name else Setting(name, "{...}", first.comment))
        keys = dict.fromkeys(each.name.split(".")[1] for each in settings if "." in each.name)
        yield from (("", line) for line in textwrap.wrap(f"keys: {', '.join(keys)}" if keys else "", KEYS_WIDTH))


def _setting_lines(name: str, groups: Groups) -> Iterator[str]:
    """Yield the lines of a setting, or of all settings of a mapping, with their whole comments, a common one once."""
    before = ""
    for each in _flat_settings(groups):
        if each.name == name or each.name.startswith(f"{name}."):
            yield f"{_row(each)[0].strip():34} {each.comment if each.comment != before else ''}".rstrip()
            before = each.comment


def _group_lines(group: str, groups: Groups) -> Iterator[str]:
    yield f"{group}=CHOICE; * is used here"
    yield from _choice_lines(group, groups.chosen[group], "")
    settings: dict[str, Setting] = {}
    for choice in groups.chosen[group]:
        settings |= group_settings(group, choice)
    overlay = any("@package _global_" in choice_file(group, each).read_text() for each in choices_of(group))
    yield ""
    yield f"Settings of {group}={','.join(groups.chosen[group]) or 'null'}, with their defaults"
    yield from _columns(_row(each, "" if overlay else f"{group}.") for each in settings.values())


def _choice_lines(group: str, chosen: Sequence[str], indent: str = "  ") -> list[str]:
    rows = []
    names = choices_of(group)
    for choice in [*(each for each in chosen if each not in names), *names]:
        mark = "*" if choice in chosen else " "
        rows.append((f"{indent}{mark} {group}={choice}", header(choice_file(group, choice))))
    return list(_columns(rows))


def _row(each: Setting, place: str = "  ") -> tuple[str, str]:
    indent = "" if place.strip() else "  "
    return f"{indent}{place.strip()}{each.name}={'' if each.default is None else each.default}", each.comment


def _columns(rows: Iterator[tuple[str, str]] | Sequence[tuple[str, str]], left: int = 34) -> Iterator[str]:
    """Yield rows of two columns, one line each on a terminal; a text is cut at its first sentence."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for name, text in rows:
        short = name if len(name) < left else f"{name[: left - 2]}…"
        sentence = re.split(r"(?<=[\w)]{2}\.)\s", text, maxsplit=1)[0].rstrip(".")
        line = f"{short:{left}} {sentence}".rstrip()
        yield line if not width or len(line) <= width else f"{line[: width - 1]}…"
