"""Build what a ``_target_`` of a config names, from allowed packages only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from pydantic import ConfigDict, Field, field_validator

from skinlab.errors import UserError
from skinlab.settings.base import Settings

# Whatever a config may name as `_target_`; Hydra itself refuses the rest of the standard library's dangers.
ALLOWED_TARGETS = ("skinlab.", "torch.", "torchvision.", "timm.", "pytorch_lightning.", "lightly.", "albumentations.")


class Part(Settings):
    """What a ``_target_`` names, with its arguments, which its own signature checks: a loss, a reader, a transform."""

    model_config = ConfigDict(extra="allow")

    target: str = Field(alias="_target_")

    @field_validator("target")
    @classmethod
    def _check_target(cls, target: str) -> str:
        if not target.startswith(ALLOWED_TARGETS):
            raise ValueError(f"outside the allowed packages ({_allowed()}); use a class of those")
        return target


def build(node: Part | Mapping[str, Any], **more: Any) -> Any:
    """Build what the ``_target_``s of a config name, as Hydra does, but only what an allowed package defines itself.

    A dotted path may leave its package through a module that it imports (``skinlab.data.images.os.system``), and some
    functions of large packages run code that they are given (``torch.load``): of those only classes are taken.

    Args:
        node: a part, or its config with a ``_target_``.
        **more: arguments beside those of the config.

    Raises:
        UserError: a ``_target_`` leads nowhere, or outside the allowed packages.
    """
    if isinstance(node, Part):
        node = node.dump()
    for place, target in _targets({**node, **more}):
        found = find_target(target, place)
        home = f"{getattr(found, '__module__', '')}."
        if not home.startswith("skinlab." if not isinstance(found, type) else ALLOWED_TARGETS):
            raise UserError(f"{place}={target} is no class of the allowed packages ({_allowed()}); use one of those")
    try:
        return instantiate(node, **more)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None  # a user's mistake comes out as it went in
        raise


def find_target(target: Any, place: str) -> Any:
    """Return what a target names; a module of a package that isn't allowed is not imported.

    Raises:
        UserError: it names nothing, or is outside the allowed packages.
    """
    if isinstance(target, str) and not target.startswith(ALLOWED_TARGETS):
        raise UserError(f"{place}={target} is outside the allowed packages ({_allowed()}); use a class of those")
    try:
        return get_object(target)
    except Exception as error:  # importing may fail in any way
        raise UserError(f"{place}={target} leads to nothing ({_first_line(error)}); correct its name") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _allowed() -> str:
    return ", ".join(name.rstrip(".") for name in ALLOWED_TARGETS)


def _targets(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every ``_target_`` below a node, with where it stands."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                yield f"{place}.{key}".lstrip("."), value
            yield from _targets(value, f"{place}.{key}")
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for i, value in enumerate(node):
            yield from _targets(value, f"{place}.{i}")
