"""Check that what a config file holds is resolved and of a sensible size, before anything follows its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from skinlab.errors import UserError

# ValueError: no UTF-8, the 31st of June, or an interpolation.
YAML_ERRORS = (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError)
MAX_VALUES = 100_000  # of a config; a few aliases of YAML can stand for any number, or hold themselves


def check_plain(config: Any) -> None:
    """Refuse text that OmegaConf would take for an interpolation, and more values than a config has.

    An interpolation reads the environment (``${oc.env:HOME}``), or becomes another part (``${oc.create:...}``).

    Args:
        config: containers and single values.

    Raises:
        UserError: with the first one.

    >>> check_plain({"loss": {"gamma": "${oc.env:HOME}"}})
    Traceback (most recent call last):
    skinlab.errors.UserError: loss.gamma=${oc.env:HOME}: an interpolation is not allowed here; give its value
    """
    waiting: list[tuple[Any, Any]] = [((), config)]  # a place is its own place and its key: text would grow with it
    for _ in range(MAX_VALUES):
        if not waiting:
            return
        place, node = waiting.pop()
        if isinstance(node, str) and "${" in node:
            raise UserError(f"{_dotted(place)}={node}: an interpolation is not allowed here; give its value")
        if isinstance(node, Mapping):
            waiting += [((place, key), part) for key, value in node.items() for part in (value, key)]
        elif isinstance(node, (list, tuple)):
            waiting += [((place, i), value) for i, value in enumerate(node)]
        if len(waiting) > MAX_VALUES:
            break
    raise UserError(f"there are more than {MAX_VALUES:,} values; use a config that skinlab has written")


def _dotted(place: Any) -> str:
    keys: list[str] = []
    while place:
        place, key = place
        keys.append(str(key))
    return ".".join(reversed(keys))
