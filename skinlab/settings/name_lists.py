"""Settings that hold a list of names: a single name is a list of one, and a number is a name."""

from __future__ import annotations

from typing import Any

from skinlab.errors import UserError
from skinlab.settings.mistakes import shown

NAME_LISTS = (
    *(
        "data.classes",
        "data.positive",
        "positive",
        "evidence.positive",
        "predictions",
        "runs",
        "tta",
        "arms",
        "plugins",
    ),
    *("compare_by", "thresholds", "evidence.thresholds"),
)
PLACES = ("predictions", "runs")  # where blanks belong to the name
OTHERWISE = (("bundle", "thresholds"), ("predict", "tta"))  # rules or a file; one name
MAY_BE_EMPTY = ("plugins", "compare_by", "thresholds", "evidence.thresholds")


def name_lists(command: str) -> list[str]:
    """Return the settings of a command that hold names."""
    return [name for name in NAME_LISTS if (command, name) not in OTHERWISE]


def read_name_lists(config: dict[str, Any], command: str) -> None:
    """Turn every setting of names into a list of text, in place.

    Args:
        config: the resolved config of a command.
        command: its name.

    Raises:
        UserError: a setting is no list of names, is empty, or names one thing twice.
    """
    for setting in name_lists(command):
        *path, key = setting.split(".")
        node: Any = config
        for part in path:
            node = node.get(part) or {}
        if node.get(key) is not None:
            kind = {"places": setting in PLACES, "may_be_empty": setting in MAY_BE_EMPTY}
            try:
                node[key] = read_names(node[key], **kind)
            except ValueError as error:
                raise UserError(f"{setting}={shown(node[key])}: {error}") from None


def read_names(value: Any, *, places: bool = False, may_be_empty: bool = False) -> list[str]:
    """Return the names of a setting.

    Args:
        value: a name, a number or a list of them.
        places: whether blanks belong to the names.
        may_be_empty: whether the list may be.

    Raises:
        ValueError: something else, none, or one twice.

    >>> read_names("mel"), read_names([1, "nv "])
    (['mel'], ['1', 'nv'])
    """
    from skinlab.text import clean  # pandas comes with it, so it waits until there is something to read

    values = value if isinstance(value, list) else [value]
    names = [_name(each) if places else clean(_name(each)) for each in values]
    if not all(names):
        raise ValueError("a list of names is expected, such as [A,B]")
    if not names and not may_be_empty:
        raise ValueError("the list is empty; name one or more, or leave it out")
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{repeated} is named twice; name each once")
    return names


def _name(value: Any) -> str:
    """Return a name as text, empty where the value is none."""
    if isinstance(value, bool):
        return str(value).lower()  # YAML's true and false
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else ""
