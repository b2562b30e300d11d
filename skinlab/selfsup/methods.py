"""Build the method of a pretraining from its settings, and check them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from skinlab.errors import UserError, nearest
from skinlab.selfsup.method import Method
from skinlab.settings.part import Part, check_parts, find_target

Settings = Mapping[str, Any]  # a file of conf/ssl: ``_target_``, ``name`` and the arguments of the method


def method_class(settings: Settings) -> type[Method]:
    """Return the class of a method.

    Raises:
        UserError: the ``_target_`` is no subclass of :class:`Method`.
    """
    found = find_target(settings["_target_"], "ssl._target_")
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UserError(f"ssl._target_={settings['_target_']}: give a subclass of {Method.__module__}.Method")
    return found


def build_method(settings: Settings, backbone: nn.Module, n_features: int) -> Method:
    """Build a method with its heads, and its teacher where it has one.

    Args:
        settings: of the method; an argument that is left out keeps its default.
        backbone: maps normalised images (B, 3, H, W) to features (B, F).
        n_features: F.

    Raises:
        UserError: no such setting, or one out of range.
    """
    method, values = method_class(settings), arguments(settings)
    known = default_arguments(method)
    for key in values:
        if key not in known:
            hint = nearest(key, known)
            raise UserError(
                f"ssl.{key}: ssl={settings['name']} has no such setting{hint}; there are {', '.join(known)}"
            )
    check_parts({"ssl": Part.model_validate({"_target_": settings["_target_"], **values})})
    build: Callable[..., Method] = method
    return build(backbone, n_features, **values)


def arguments(settings: Settings) -> dict[str, Any]:
    """Return the arguments of a method, without what names it."""
    return {key: value for key, value in settings.items() if key not in ("_target_", "name")}


def default_arguments(method: type[Method]) -> dict[str, Any]:
    """Return the keyword arguments of a method with their defaults."""
    parameters = inspect.signature(method).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def needed_views(settings: Settings) -> tuple[int, int]:
    """Return how many global views and how many smaller local views of an image a method takes.

    >>> needed_views({"_target_": "skinlab.selfsup.dino.DINO", "name": "dino", "local_views": 4})
    (2, 4)
    """
    method = method_class(settings)
    return method.global_views, int(settings.get("local_views", method.local_views))


def check_batch(settings: Settings, batch_size: int) -> None:
    """Refuse a batch that is too small for a method.

    Args:
        settings: of the method.
        batch_size: images per process and step.

    Raises:
        UserError: too few.
    """
    min_batch = method_class(settings).min_batch
    if batch_size < min_batch:
        raise UserError(
            f"data.batch_size: ssl={settings['name']} can't learn from {batch_size} images a step and process, it "
            f"compares them with each other; give at least {min_batch}, better hundreds"
        )
