"""Read JSON files; damaged ones and those of another form are refused with their place and a remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from skinlab.errors import UserError

NUMBER = (int, float)
Types = type | tuple[type, ...]
Keys = Mapping[str, Types]


def read_json(
    path: str | Path,
    kind: str,
    keys: Keys | None = None,
    *,
    remedy: str = "",
    setting: str = "",
    upgrade: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        kind: what it is, for messages: ``metrics of a run``.
        keys: required keys, nested ones as ``made.command``, with the types of their values; None for any content, an
            empty mapping for any mapping.
        remedy: for a missing or damaged file.
        setting: that names the file, for messages.
        upgrade: turns the content of an older file into the present form, before the keys are checked.

    Raises:
        UserError: the file is missing, can't be read, is damaged, or of another form.
    """
    place = f"{setting}={path}" if setting else f"{path}"
    path = Path(path).expanduser()
    remedy = remedy or "restore it, or make it again"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{place}: the {kind} can't be read ({error.strerror}); {remedy}") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON
        reason = "it is empty" if path.stat().st_size == 0 else str(error).splitlines()[0]
        raise UserError(f"{place}: the {kind} is damaged ({reason}); {remedy}") from None
    if upgrade is not None and isinstance(content, dict):
        content = upgrade(content)
    if keys is not None and (fault := form_fault(content, keys)):
        raise UserError(f"{place} is not the {kind} ({fault}); {remedy}")
    return content


def form_fault(content: Any, keys: Keys) -> str:
    """Return what is wrong with the form of a file's content; an empty text if nothing.

    >>> form_fault({"made": {"command": 3}}, {"made.command": str})
    'its made.command is a int'
    """
    if not isinstance(content, dict):
        return f"it holds a {type(content).__name__} instead of a mapping"
    for key, types in keys.items():
        value: Any = content
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                return f"it has no {key}"
            value = value[part]
        if not isinstance(value, types) or (isinstance(value, bool) and types == NUMBER):
            return f"its {key} is a {type(value).__name__}"
    return ""
