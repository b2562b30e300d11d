"""The types of single settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator
from pydantic_core import PydanticKnownError

from skinlab.settings.name_lists import read_names


@dataclass(frozen=True)
class AsList:
    """Marks a list of text that may be written as ``name=A,B``, which Hydra would otherwise take for a sweep."""


def _number(value: Any) -> Any:
    """Refuse what is no number; one without a fraction stays as it was written."""
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
