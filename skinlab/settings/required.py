"""A setting that has to be given on the command line."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator, ValidationInfo

from skinlab.errors import UserError


def required(example: str) -> BeforeValidator:
    """Return a validator that refuses an empty setting with an example of what to set."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if value in (None, "", []):
            raise UserError(f"{info.field_name}= is missing: set {info.field_name}={example}")
        return value

    return BeforeValidator(check)
