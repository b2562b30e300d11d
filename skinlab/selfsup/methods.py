"""The methods by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from skinlab.errors import UserError, nearest
from skinlab.selfsup.barlow_twins import BarlowTwins
from skinlab.selfsup.byol import BYOL
from skinlab.selfsup.denoise import Denoise
from skinlab.selfsup.dino import DINO
from skinlab.selfsup.method import Method
from skinlab.selfsup.moco import MoCo
from skinlab.selfsup.simclr import SimCLR
from skinlab.selfsup.simsiam import SimSiam
from skinlab.selfsup.vicreg import VICReg

METHODS: dict[str, type[Method]] = {
    "simclr": SimCLR,
    "byol": BYOL,
    "simsiam": SimSiam,
    "barlow_twins": BarlowTwins,
    "vicreg": VICReg,
    "moco": MoCo,
    "dino": DINO,
    "denoise": Denoise,
}
# All settings are numbers above 0, but for these.
MAY_BE_ZERO = {"local_views", "warmup_epochs", "freeze_epochs", "noise", "cutout", "covariance", "redundancy"}
AT_MOST_ONE = {"momentum", "center_momentum", "cutout"}


def build_method(name: str, backbone: nn.Module, n_features: int, settings: Mapping[str, Any]) -> Method:
    """Build a method with its heads, and its teacher where it has one.

    Args:
        name: one of ``METHODS``.
        backbone: maps normalised images (B, 3, H, W) to features (B, F).
        n_features: F.
        settings: the method's own; what is left out keeps its default.

    Raises:
        UserError: no such method, no such setting, or a setting out of range.
    """
    method = _method(name)
    known = default_settings(name)
    for key, value in settings.items():
        if key not in known:
            hint = nearest(key, known)
            raise UserError(f"ssl.{key}: ssl={name} has no such setting{hint}; it takes {', '.join(known)}")
        _check_range(key, value, known[key])
    built: Method = method(backbone, n_features, **settings)
    return built


def default_settings(name: str) -> dict[str, Any]:
    """Return a method's settings with their defaults.

    >>> default_settings("simclr")["temperature"]
    0.1
    """
    parameters = inspect.signature(_method(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def needed_views(name: str, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many global and how many smaller local views of an image a method wants.

    >>> needed_views("byol", {}), needed_views("dino", {"local_views": 4}), needed_views("denoise", {})
    ((2, 0), (2, 4), (1, 0))
    """
    method = _method(name)
    return method.global_views, int(settings.get("local_views", method.local_views))


def check_batch(name: str, batch_size: int) -> None:
    """Refuse a batch that a method can't learn from.

    Args:
        name: the method's.
        batch_size: images a process and step.

    Raises:
        UserError: too few.
    """
    least = _method(name).least_batch
    if batch_size < least:
        raise UserError(
            f"data.batch_size: ssl={name} can't learn from {batch_size} images a step and process, it compares them "
            f"with each other; give at least {least}, better hundreds"
        )


def _method(name: str) -> type[Method]:
    if name not in METHODS:
        raise UserError(f"ssl={name}: no such method{nearest(str(name), METHODS)}; choose from {', '.join(METHODS)}")
    return METHODS[name]


def _check_range(key: str, value: Any, default: Any) -> None:
    if isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    else:
        whole, zero, one = isinstance(default, int), key in MAY_BE_ZERO, key in AT_MOST_ONE
        number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        fits = number and (value >= 0 if zero else value > 0) and (value <= 1 if one else True)
        wanted = f"a {'whole ' * whole}number, {'0 or more' if zero else 'above 0'}{' and at most 1' * one}"
    if not fits:
        raise UserError(f"ssl.{key}={value}: give {wanted}; the default is {default}")
