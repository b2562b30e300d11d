"""Hold how a command was called, which its settings alone do not contain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Invocation:
    """The command line of a command.

    Attributes:
        overrides: as typed, without those of Hydra.
        choices: config group → chosen file.
        compose: returns the settings of another command with some overrides; raises UserError where there is a mistake.
        command: as typed, without secrets, such as ``python -m skinlab.train data=phantom``.
    """

    overrides: Sequence[str]
    choices: Mapping[str, str]
    compose: Callable[[str, Sequence[str]], Any]
    command: str = ""
