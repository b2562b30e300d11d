"""Say what a setting is that has to be set and was not, from the comment of its config file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from skinlab.cli.help import choices_of, group_settings
from skinlab.settings.recorded import leaves

MISSING = "???"  # Hydra's value of a setting without a default


def describe_missing(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each setting that has to be set: its name, what it is, and an example.

    Args:
        config: of a command, not resolved.
    """
    for name, value in leaves(config):
        if value == MISSING:
            comment = _comment(name)
            example = "" if f"{name}=" in comment else f"; set {name}=VALUE"
            yield f"{name} is not set" + (f": {comment.rstrip('.')}" if comment else "") + example


def _comment(name: str) -> str:
    """Return what stands above a setting in the file of a choice that leaves it to the user."""
    group, _, own = name.partition(".")
    for choice in choices_of(group):
        setting = group_settings(group, choice).get(own)
        if setting is not None and setting.default is None and setting.comment:
            return setting.comment
    return ""
