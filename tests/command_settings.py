"""The settings of a command for tests: its config's defaults, overrides, and values in place of others."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from skinlab.cli.config import compose_config, compose_settings, register_resolvers, resolved
from skinlab.cli.registry import settings_model
from skinlab.settings.base import create
from skinlab.settings.command import Invocation


@functools.cache
def composed(command: str, *overrides: str) -> dict[str, Any]:
    register_resolvers()
    return resolved(compose_config(command, list(overrides)))


def settings_of(command: str, *overrides: str, **values: Any) -> Any:
    """Return the settings of a command; a path becomes text."""
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    return create(settings_model(command), composed(command, *overrides) | plain)


def invocation_of(command: str, *overrides: str) -> Invocation:
    """Return how a command with these overrides would have been called."""
    return Invocation(overrides, {}, compose_settings, " ".join(["python", "-m", f"skinlab.{command}", *overrides]))
