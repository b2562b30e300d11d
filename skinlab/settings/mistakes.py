"""Turn pydantic's validation errors into one line for each wrong setting."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from skinlab.errors import UserError, nearest

# pydantic's type of error → what is expected instead; the bounds stand in the error's context.
EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a group of settings",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
}


def describe(error: ValidationError, config: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Return one line for each setting that is wrong.

    Args:
        error: of a model's validation.
        config: what was validated.
        known: the dotted names of all settings of the model.
    """
    found: dict[str, list[ErrorDetails]] = {}
    for each in error.errors():
        found.setdefault(_place(each, config), []).append(each)
    return [_line(place, errors, list(known)) for place, errors in found.items()]


def shown(value: Any) -> str:
    """Return a value as an override has it.

    >>> shown([True, None, "a"]), shown({0: 1.5})
    ('[true,null,a]', '{0: 1.5}')
    """
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(each)}" for key, each in value.items()) + "}"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _place(error: ErrorDetails, config: Any) -> str:
    """Return the dotted name of the setting, without pydantic's names for the alternatives of a type."""
    path: list[str] = []
    for part in error["loc"]:
        if (isinstance(part, str) and part in config) if isinstance(config, Mapping) else isinstance(part, int):
            config = config[part]
        elif error["type"] != "missing" or part != error["loc"][-1]:
            continue
        path.append(str(part))
    return ".".join(path)


def _line(place: str, errors: Sequence[ErrorDetails], known: Sequence[str]) -> str:
    kinds = {each["type"]: each for each in errors}
    group = place.rpartition(".")[0]
    if "missing" in kinds:
        return f"{place} is missing; set {place}=…"
    if "extra_forbidden" in kinds:
        siblings = [name for name in known if name.rpartition(".")[0] == group]
        there = ", ".join(name.rpartition(".")[2] for name in siblings)
        has = f"{group} has {there or 'no settings'}" if group else "--cfg job shows them all"
        return f"{place}: no such setting{nearest(place, siblings)}; {has}"
    value = shown(errors[0]["input"])
    if "value_error" in kinds:
        reason = kinds["value_error"]["ctx"]["error"]
        return str(reason) if isinstance(reason, UserError) else f"{place}={value}: {reason}"
    choices = [choice for each in errors for choice in _choices(each)]
    expected = [*dict.fromkeys(EXPECTED.get(each["type"], "").format(**each.get("ctx", {})) for each in errors)]
    phrases = [*(phrase for phrase in expected if phrase), *choices]
    if not phrases:
        return f"{place}={value}: {errors[0]['msg']}"
    *first, last = phrases
    found = place if errors[0]["loc"][-1] == "[key]" else f"{place}={value}"
    return f"{found}: {', '.join(first)}{' or ' * bool(first)}{last} is expected{nearest(value, choices)}"


def _choices(error: ErrorDetails) -> Iterator[str]:
    """Yield the values of a setting that has some to choose from."""
    if error["type"] == "literal_error":
        yield from re.findall(r"'([^']*)'", error["ctx"]["expected"])
