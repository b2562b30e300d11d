"""The config files: where they are, and which choice of a group recorded settings are."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

from skinlab.settings.recorded import leaves

IDENTITY = ("_target_", "name")  # what makes a choice, where its file has one of them; else all of the file does
# Groups of a run whose choices are recipes; those of the others are conveniences, such as trainer=cpu.
GROUPS = ("data", "model", "loss", "sampler", "augment", "semi", "optimizer", "scheduler")


def config_directory() -> Path:
    """Return ``conf``: inside the package in an installed wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def choice_of(group: str, settings: Any) -> str | None:
    """Return the choice of a group that recorded settings come from, a plugin's by its class or name; None for neither.

    >>> choice_of("loss", {"_target_": "skinlab.losses.focal.Focal", "gamma": 1.0, "alpha": None})
    'focal'
    >>> choice_of("loss", {"_target_": "my_package.poly.Poly"})
    'Poly'
    """
    found = dict(leaves(settings))
    fitting = [name for name, identity in _identities(group).items() if identity.items() <= found.items()]
    if len(fitting) == 1:
        return fitting[0]
    own = [(key, str(value)) for key, value in found.items() if key.rpartition(".")[2] in IDENTITY]
    if not own:
        return None
    key, value = own[0]
    return value.rpartition(".")[2] if key.endswith("_target_") else value


@functools.cache
def _identities(group: str) -> dict[str, dict[str, Any]]:
    """Return what makes each choice of a group: dotted name → value."""
    known = {}
    for path in sorted((config_directory() / group).glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        content = dict(leaves({key: value for key, value in content.items() if key != "defaults"}))
        own = {key: value for key, value in content.items() if key.rpartition(".")[2] in IDENTITY}
        if path.stem != "default" and "???" not in own.values():
            known[path.stem] = own or content
    return known
