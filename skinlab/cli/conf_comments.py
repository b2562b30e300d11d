"""Read the settings of a config file with the comments that stand above them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from skinlab.settings.mistakes import shown

KEY = re.compile(r"^( *)([\w.]+):(?: +(.*))?$")
COMMAND = re.compile(r"python -m [^(:]+: ")  # before what it does; another line of a command is an example
PACKAGE = "@package"  # Hydra's own header


class Setting(NamedTuple):
    """A setting of a config file.

    Attributes:
        name: dotted, below the file.
        default: as an override has it; None where it has to be set or follows from other settings.
        comment: what stands above it in one line, or behind it, or above the mapping around it; else empty.
    """

    name: str
    default: str | None
    comment: str


def read_file(path: Path) -> dict[str, Any]:
    """Return the content of a config file, empty where it has none or there is no such file."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def header(path: Path) -> str:
    """Return the comment at the beginning of a config file in one line, without its command lines."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = line.removeprefix("#").strip()
        if text.startswith("python -m"):
            text = COMMAND.sub("", text) if COMMAND.match(text) else ""
        if PACKAGE not in text:
            lines.append(text)
    return " ".join(filter(None, lines))


def settings_of_file(path: Path) -> Iterator[Setting]:
    """Yield the settings of a config file with their comments, in order; groups of settings are not among them."""
    content, lines = read_file(path), path.read_text(encoding="utf-8").splitlines()
    first = next((line for line in lines if not line.startswith("#")), "")  # what the file's own header stands above
    above: list[str] = []
    place: list[tuple[int, str, str]] = []  # indentation, name and comment of the groups that a line lies in
    for line in lines:
        text = line.strip()
        if text.startswith("#"):
            above.append(text.removeprefix("#").strip())
            continue
        if found := KEY.match(line):
            indent, key, rest = len(found[1]), found[2], found[3] or ""
            place = [each for each in place if each[0] < indent]
            names = [*(name for _, name, _ in place), key]
            value = _lookup(content, names)
            if names[0] != "defaults" and (not isinstance(value, dict) or rest.startswith("{")):
                behind = rest.partition("  # ")[2]
                outer = place[-1][2] if place else ""
                yield Setting(".".join(names), _default(value), " ".join(above) or behind or outer)
            place.append((indent, key, "" if line == first else " ".join(above)))
        above = []


def _lookup(content: Any, names: list[str]) -> Any:
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _default(value: Any) -> str | None:
    text = shown(value)
    return None if text == "???" or "${" in text else text
