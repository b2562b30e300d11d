"""The config files: where they are, and which choice of a group recorded settings are."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from skinlab.settings.recorded import leaves

IDENTITY = ("_target_", "name")  # what makes a choice, where its file has one of them; else all of the file does
# Groups of a run whose choices are recipes; those of the others are conveniences, such as trainer=cpu.
GROUPS = ("data", "model", "loss", "sampler", "augment", "semi", "optimizer", "scheduler")
FINETUNE = (
    "model.freeze_epochs",
    "optimizer.layer_decay",
    "model.keep_head",
)  # what the files of finetune= set, in other groups
LAYER_DECAY = 0.75  # of finetune=layer_decay


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


def finetune_of(config: Mapping[str, Any]) -> str | None:
    """Return the choice of ``finetune=`` that a run's recorded settings come from; None for none.

    >>> run = {"model": {"freeze_epochs": 3}, "optimizer": {"layer_decay": 1.0}, "trainer": {"max_epochs": 20}}
    >>> finetune_of(run), finetune_of(run | {"trainer": {"max_epochs": 3}})
    ('lp_ft', 'linear_probe')
    """
    found = dict(leaves(config))
    frozen, decay, keeps_head, epochs = (found.get(name) for name in (*FINETUNE, "trainer.max_epochs"))
    if not isinstance(frozen, int) or not isinstance(epochs, int):
        return None
    if keeps_head:
        return "head" if decay == 1 and frozen >= epochs else None
    if frozen == 0:
        return "full" if decay == 1 else "layer_decay" if decay == LAYER_DECAY else None
    if decay != 1:
        return None
    return "linear_probe" if frozen >= epochs else "lp_ft" if frozen == probe_epochs(epochs) else None


def probe_epochs(epochs: Any) -> Any:
    """Return how many of the epochs of a linear probe and fine-tuning are the probe's: three, at most half of them."""
    return max(1, min(3, epochs // 2)) if isinstance(epochs, int) else epochs  # the settings' types refuse the rest


@functools.cache
def given_by(group: str, choice: str) -> dict[str, Any]:
    """Return the values that the file of a choice and the group's ``default.yaml`` give: dotted name → value.

    >>> given_by("loss", "focal")["loss.gamma"]
    2.0
    """
    found: dict[str, Any] = {}
    for name in ("default", choice):
        path = config_directory() / group / f"{name}.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
        found |= dict(leaves({key: value for key, value in (content or {}).items() if key != "defaults"}))
    return {f"{group}.{key}": value for key, value in found.items() if not str(value).startswith(("${", "???"))}


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
