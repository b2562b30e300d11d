"""The types of single settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator
from pydantic_core import PydanticKnownError

from skinlab.text import clean


@dataclass(frozen=True)
class AsList:
    """Marks a list of text that may be written as ``name=A,B``, which Hydra would otherwise take for a sweep."""


def _number(value: Any) -> Any:
    """Refuse what is no number; one without a fraction stays as it was written."""
    if isinstance(value, str) and (percent := re.fullmatch(r"(\d+\.?\d*)\s*%", value.strip())):
        raise ValueError(f"a number is expected: {value} is {float(percent[1]) / 100:g}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PydanticKnownError("float_type")
    return value


def _text(value: Any) -> Any:
    """Return a number as text: Hydra reads digits as a number wherever they stand."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _workers(value: Any) -> Any:
    if value == "auto" or (type(value) is int and value >= 0):
        return value
    raise ValueError("give auto or a number of processes, 0 or more")


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


def path_to(what: str, example: str) -> BeforeValidator:
    """Return a validator that says what a path is to where something else is given instead of one, such as true.

    Args:
        what: is there, or will be, such as ``a folder for the pictures``.
        example: a setting of it, such as ``explain=PICTURES``.
    """

    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{what} is expected, as in {example}")
        return value

    return BeforeValidator(check)


Number = Annotated[float, PlainValidator(_number)]
NotNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
BelowOne = Annotated[Number, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
Text = Annotated[str, BeforeValidator(_text)]
Workers = Annotated[int | Literal["auto"], PlainValidator(_workers)]
# Names of classes, metrics or rules: one name alone is a list of one, and a number is a name.
Names = Annotated[list[str], BeforeValidator(read_names), AsList()]
NamesOrEmpty = Annotated[list[str], BeforeValidator(partial(read_names, may_be_empty=True)), AsList()]
# Runs, tables and folders, whose names may begin or end with blanks.
Places = Annotated[list[str], BeforeValidator(partial(read_names, places=True)), AsList()]
