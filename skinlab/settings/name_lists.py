"""Read a list of names: a single name is a list of one, and a number is a name."""

from __future__ import annotations

from typing import Any

from skinlab.text import clean


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
