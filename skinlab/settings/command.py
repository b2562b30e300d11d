"""What the settings of every command have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from skinlab.errors import UserError
from skinlab.settings.base import MayDiffer, Settings
from skinlab.settings.types import NamesOrEmpty


class CommandSettings(Settings):
    """The settings of a command: beside its own the plugins that it has imported."""

    plugins: Annotated[NamesOrEmpty, MayDiffer(resumed=True, recipe=True)]


def required(example: str) -> BeforeValidator:
    """Return a validator that refuses an empty setting with an example of what to set."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if value in (None, "", []):
            raise UserError(f"{info.field_name}= is missing: set {info.field_name}={example}")
        return value

    return BeforeValidator(check)
