"""Skin lesion classification when labels are scarce and classes are skewed.

Every command is a function, too, which returns what was made: ``run = skinlab.train(["data=phantom"])``.
"""

from typing import Any

__all__ = ["audit", "bundle", "ensemble", "evaluate", "mine", "predict", "pretrain", "study", "train", "tta"]


def __getattr__(name: str) -> Any:
    """Return a command as a function; nothing is imported before it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from skinlab.cli.api import function

    return function(name)
