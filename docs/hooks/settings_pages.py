"""The pages of the commands and config groups, from the files in ``conf``, the settings' models and docstrings."""

from __future__ import annotations

import inspect
import re
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import annotated_types
from griffe import Docstring
from mkdocs.structure.pages import Page
from pydantic.fields import FieldInfo

from skinlab.cli.conf import choice_file
from skinlab.cli.conf_comments import Setting, header, read_file, settings_of_file
from skinlab.cli.help import choices_of, examples, group_settings, read_groups
from skinlab.cli.registry import COMMANDS, settings_model
from skinlab.settings.base import Settings, walk
from skinlab.settings.part import find_target
from skinlab.settings.types import AsList

COMMENT = re.compile(r"<!-- The tables of .*? -->")
NONE = "\N{EN DASH}"
TABLE = "| setting | type and limits | default | |\n|---|---|---|---|\n"
LIMITS = (
    (annotated_types.Ge, "ge"),
    (annotated_types.Gt, "gt"),
    (annotated_types.Le, "le"),
    (annotated_types.Lt, "lt"),
)
PLAIN = {bool: "true or false", int: "whole number", float: "number", str: "text", dict: "mapping", Any: "any"}
PLAIN |= {type(None): "null"}


class Row(NamedTuple):
    """A setting in a table: its full name, type with limits, default and what it is."""

    name: str
    kind: str
    default: str
    about: str

    def __str__(self) -> str:
        return f"| `{self.name}` | {self.kind} | {self.default} | {self.about} |"


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put the tables in place of the comments of both pages."""
    made = {"reference/commands.md": commands, "reference/groups.md": groups}.get(page.file.src_uri)
    return markdown if made is None else COMMENT.sub(lambda _: made(), markdown)


# Types


def type_text(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """Return a type and its limits in words.

    >>> from pydantic import Field
    >>> type_text(Annotated[int, Field(ge=1)]), type_text(Literal["a", "b"] | None)
    ('whole number ≥ 1', '`a`, `b` or null')
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0], (*metadata, *arguments[1:]))
    if origin is Literal:
        return _either([f"`{each}`" for each in arguments])
    if origin in (Union, types.UnionType):
        parts = [part for each in arguments for part in _alternatives(each, metadata)]
        return _either(list(dict.fromkeys(parts)))
    if origin is list or _names_sequence(origin):
        inner = type_text(arguments[0])
        return (
            f"{_plural(inner)}" if any(isinstance(each, AsList) for each in metadata) else f"list of {_plural(inner)}"
        )
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "settings"
    return PLAIN.get(origin or annotation, str(getattr(annotation, "__name__", annotation))) + _limits(metadata)


def _names_sequence(origin: Any) -> bool:
    return getattr(origin, "__name__", "") in ("Sequence", "tuple")


def _alternatives(annotation: Any, metadata: tuple[Any, ...]) -> list[str]:
    return [type_text(annotation, () if annotation is type(None) else metadata)]


def _either(parts: list[str]) -> str:
    parts = [*(part for part in parts if part != "null"), *(["null"] if "null" in parts else [])]
    *first, last = parts
    return f"{', '.join(first)}{' or ' * bool(first)}{last}"


def _plural(text: str) -> str:
    return re.sub("^(whole number|number)", r"\1s", text).replace("text", "names")


def _limits(metadata: tuple[Any, ...]) -> str:
    flat = [item for each in metadata for item in (each.metadata if isinstance(each, FieldInfo) else [each])]
    found = {key: getattr(each, key) for each in flat for kind, key in LIMITS if isinstance(each, kind)}
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return "".join(f"{', ' * bool(place)} {signs[key]} {found[key]:g}" for place, key in enumerate(found)).replace(
        ",  ", ", "
    )


# Rows


def cell(text: str) -> str:
    """Return text that Markdown shows as it is in a cell of a table."""
    for mark in "<{*|":
        text = text.replace(mark, {"<": "&lt;", "{": "&#123;", "*": "\\*", "|": "\\|"}[mark])
    return text


def default_text(default: str | None) -> str:
    """Return a default as code; a dash for one that has to be set or follows from other settings."""
    return NONE if default is None else f"`{default}`".replace("|", "\\|")


def fields_of(command: str) -> dict[str, FieldInfo]:
    """Return the fields of a command's settings by their dotted names."""
    return {name: field for name, field, _ in walk(settings_model(command))}


def is_mapping(field: FieldInfo) -> bool:
    """Return whether a setting is a mapping from names to values, whose names are settings, too."""
    return type_text(field.annotation).startswith("mapping")


def kind_of(name: str, fields: dict[str, FieldInfo]) -> str:
    """Return the type of a setting; of one inside a mapping that of the mapping's values."""
    if name in fields:
        return type_text(fields[name].annotation, tuple(fields[name].metadata))
    outer = name.rpartition(".")[0]
    if outer in fields:
        annotation = fields[outer].annotation
        alternatives = map(get_args, (annotation, *get_args(annotation)))
        inner = [each[1] for each in alternatives if len(each) == 2 and each[0] in (str, Any)]
        return type_text(inner[0]) if inner else "any"
    return "any"


def command_rows(command: str) -> Iterator[Row]:
    """Yield the settings of a command outside of its groups; a mapping of recipes or overrides is one row."""
    groups, fields, seen = read_groups(command), fields_of(command), set[str]()
    for path in groups.files:
        for each in settings_of_file(path):
            first = each.name.partition(".")[0]
            name = first if first in ("recipes", "words") else each.name
            if first in ("hydra", "run_dir") or name in seen or (first in groups.chosen and "." not in each.name):
                continue
            seen.add(name)
            if name != each.name:
                yield Row(name, "mapping", NONE, "see `conf/study.yaml`")
            else:
                yield Row(name, kind_of(name, fields), default_text(each.default), cell(each.comment))


def part_arguments(path: Path) -> dict[str, tuple[str, str]]:
    """Return type and description of the arguments of what a file's ``_target_``s name, from their docstrings."""
    content, found = read_file(path), dict[str, tuple[str, str]]()
    nodes = {"": content} | {f"{key}.": value for key, value in content.items() if isinstance(value, dict)}
    for place, node in nodes.items():
        target = node.get("_target_", "???")
        if "???" not in target and place != "reader.":
            found |= {place + name: each for name, each in _described(find_target(target, str(path)))}
    return found


def _described(part: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    sections = Docstring(inspect.getdoc(part) or "").parse("google", warnings=False)
    about = {each.name: each.description for part in sections if part.kind.value == "parameters" for each in part.value}
    for name, each in inspect.signature(part, eval_str=True).parameters.items():
        if each.annotation is not inspect.Parameter.empty:
            yield name, (type_text(each.annotation), " ".join(about.get(name, "").split()))


def group_rows(group: str, fields: dict[str, FieldInfo]) -> Iterator[Row]:
    """Yield the settings of a group: those that all choices share, then those of single choices."""
    found: dict[str, dict[str, Setting]] = {}
    arguments: dict[str, tuple[str, str]] = {}
    choices = choices_of(group) or ["default"]
    for choice in choices:
        arguments |= part_arguments(choice_file(group, choice))
        for each in group_settings(group, choice).values():
            found.setdefault(each.name, {})[choice] = each
    for name, by_choice in sorted(found.items(), key=lambda item: len(item[1]) < len(choices)):
        if name == "name":
            continue  # that of the choice
        counts = Counter(each.default for each in by_choice.values())
        usual = counts.most_common(1)[0][0]
        others = [
            f"{default_text(each.default)} ({choice})" for choice, each in by_choice.items() if each.default != usual
        ]
        kind, about = kind_of(f"{group}.{name}", fields), next((s.comment for s in by_choice.values() if s.comment), "")
        if name in arguments:
            kind, about = arguments[name][0] if kind == "any" else kind, about or arguments[name][1]
        only = "" if len(by_choice) == len(choices) else f"*{', '.join(by_choice)}*: "
        yield Row(
            f"{group}.{name}",
            kind,
            ", ".join([default_text(usual), *others] if len(counts) <= 3 else ["by choice"]),
            only + cell(about),
        )
    for name, field in fields.items():
        if field.description and name.startswith(f"{group}.") and name.removeprefix(f"{group}.") not in found:
            yield Row(name, kind_of(name, fields), NONE, cell(field.description))


# Pages


def commands() -> str:
    """Return the part of each command: what it does, examples, groups and settings."""
    parts = []
    for name, command in COMMANDS.items():
        chosen = read_groups(name).chosen
        lines = "\n".join(examples(name))
        parts.append(f"## {name}\n\n{command.summary}.\n\n```bash\n{lines}\n```")
        if chosen:
            links = ", ".join(f"[`{group}={','.join(chosen)}`](groups.md#{group})" for group, chosen in chosen.items())
            parts.append(f"Config groups, with the default choice: {links}.")
        parts.append(TABLE + "\n".join(map(str, command_rows(name))))
    return "\n\n".join(parts) + "\n"


def groups() -> str:
    """Return the part of each config group: its choices and their settings."""
    users: dict[str, list[str]] = {}
    for command in COMMANDS:
        for group in read_groups(command).chosen:
            users.setdefault(group, []).append(command)
    parts = []
    for group, having in users.items():
        of = ", ".join(f"[{each}](commands.md#{each})" for each in having)
        parts.append(f"## {group}\n\nOf {of}.\n\n| choice | |\n|---|---|\n{_choices(group)}")
        overlay = any("@package _global_" in choice_file(group, each).read_text() for each in choices_of(group))
        fields = {name: field for command in reversed(having) for name, field in fields_of(command).items()}
        if overlay:
            parts.append("The choices set settings of other groups.")
        elif rows := list(group_rows(group, fields)):
            parts.append(TABLE + "\n".join(map(str, rows)))
    return "\n\n".join(parts) + "\n"


def _choices(group: str) -> str:
    return "\n".join(f"| `{group}={each}` | {cell(header(choice_file(group, each)))} |" for each in choices_of(group))
