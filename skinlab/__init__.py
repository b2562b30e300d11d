"""Skin lesion classification when labels are scarce and classes are skewed.

Every command is a function, too, which returns what was made: ``run = skinlab.train(["data=phantom"])``.
"""

from typing import Any

from skinlab.cli.registry import COMMANDS

__all__ = list(COMMANDS)


def __getattr__(name: str) -> Any:
    """Return a command as a function; torch is imported by the call."""
    if name not in COMMANDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from skinlab.cli.api import function

    return function(name)
