"""How a command was called: what the settings alone do not tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Invocation:
    """The command line of a command.

    Attributes:
        overrides: as typed.
        choices: config group → chosen file.
        compose: returns the config of another command with some overrides; raises UserError where there is a mistake.
    """

    overrides: Sequence[str]
    choices: Mapping[str, str]
    compose: Callable[[str, Sequence[str]], Mapping[str, Any]]
