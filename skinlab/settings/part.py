"""Build what a ``_target_`` of a config names, from allowed packages only."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, get_origin

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from pydantic import ConfigDict, Field, Strict, ValidationError, create_model, field_validator

from skinlab.errors import UserError
from skinlab.settings.base import Settings
from skinlab.settings.mistakes import describe
from skinlab.settings.plain import check_plain

# Where the parts are that a config may name as `_target_`: of skinlab what these packages define, of others classes.
# The rest of these libraries has functions and classes that start programs, or read and write files.
OWN_TARGETS = (
    *("skinlab.battery.", "skinlab.data.datamodule.", "skinlab.data.readers.", "skinlab.data.transforms."),
    *("skinlab.data.views.", "skinlab.losses.", "skinlab.selfsup.", "skinlab.semisup."),
)
FOREIGN_TARGETS = (
    *("albumentations.", "lightly.loss.", "lightly.transforms.", "timm.loss.", "torch.nn."),
    *("torchmetrics.", "torchvision.ops.", "torchvision.transforms."),
)
PLUGINS: list[str] = []  # packages of the user's own, each with a dot behind


class Part(Settings):
    """What a ``_target_`` names, with its arguments, which its own signature checks: a loss, a reader, a transform."""

    model_config = ConfigDict(extra="allow")

    target: str = Field(alias="_target_")

    @field_validator("target")
    @classmethod
    def _check_target(cls, target: str) -> str:
        if not target.startswith(allowed_targets()):
            raise ValueError(f"it is {_outside()}")
        return target


def allow_targets(package: str) -> None:
    """Allow the targets of a package of the user's own, in this process."""
    if f"{package}." not in PLUGINS:
        PLUGINS.append(f"{package}.")


def allowed_targets() -> tuple[str, ...]:
    """Return how an allowed target may begin."""
    return (*OWN_TARGETS, *FOREIGN_TARGETS, *PLUGINS)


def build(node: Part | Mapping[str, Any], **more: Any) -> Any:
    """Build what the ``_target_``s of a config name, as Hydra does, but only what an allowed package defines itself.

    A dotted path may leave its package through a module that it imports (``skinlab.data.views.math.exp``), and an
    interpolation (``${oc.create:...}``) could become another ``_target_`` when Hydra resolves it.

    Args:
        node: a part, or its config with a ``_target_``, resolved.
        **more: arguments beside those of the config.

    Raises:
        UserError: a ``_target_`` leads nowhere, or outside the allowed packages, or there is an interpolation.
    """
    if isinstance(node, Part):
        node = node.dump()
    check_plain({**node, **more})
    for place, target in _targets({**node, **more}):
        found = find_target(target, place)
        home = f"{getattr(found, '__module__', '')}."
        if not home.startswith(allowed_targets() if isinstance(found, type) else (*OWN_TARGETS, *PLUGINS)):
            raise UserError(f"{place}={target} is no class of the allowed packages ({_allowed()}); use one of those")
    try:
        return instantiate(node, **more)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None  # a user's mistake comes out as it went in
        raise


def check_parts(parts: Mapping[str, Settings]) -> None:
    """Refuse arguments that the signature of a part does not have, or of another type than it wants.

    Args:
        parts: dotted place → part.

    Raises:
        UserError: one line that names all of them.
    """
    lines = [line for place, part in parts.items() for line in _wrong_arguments(place, part.dump())]
    if lines:
        raise UserError("; ".join(lines))


def _wrong_arguments(place: str, node: Mapping[str, Any]) -> list[str]:
    found = find_target(node["_target_"], f"{place}._target_")
    parameters = inspect.signature(found).parameters
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    hints = _hints(found)
    fields: dict[str, Any] = {name: (hints.get(name, Any), None) for name in parameters if not name.startswith("_")}
    arguments = {key: value for key, value in node.items() if not key.startswith("_")}
    extra: Any = "allow" if open_ended else "forbid"
    model = create_model(
        "Arguments", __config__=ConfigDict(strict=True, extra=extra, arbitrary_types_allowed=True), **fields
    )
    try:
        model.model_validate(arguments)
    except ValidationError as error:
        return [f"{place}.{line}" for line in describe(error, arguments, fields)]
    return []


def _hints(found: Any) -> dict[str, Any]:
    """Return the types of the parameters of a class or function of ours; other packages' are not as strict."""
    if not f"{found.__module__}.".startswith(("skinlab.", *PLUGINS)):
        return {}
    try:
        parameters = inspect.signature(found, eval_str=True).parameters.values()
    except NameError:  # of a type that is imported for type checkers only
        return {}
    hints = {each.name: each.annotation for each in parameters if each.annotation is not inspect.Parameter.empty}
    # A config has lists where a function takes a tuple.
    return {name: Annotated[hint, Strict(False)] if get_origin(hint) is tuple else hint for name, hint in hints.items()}


def find_target(target: Any, place: str) -> Any:
    """Return what a target names; a module of a package that isn't allowed is not imported.

    Raises:
        UserError: it names nothing, or is outside the allowed packages.
    """
    if isinstance(target, str) and not target.startswith(allowed_targets()):
        raise UserError(f"{place}={target} is {_outside()}")
    try:
        return get_object(target)
    except Exception as error:  # importing may fail in any way
        raise UserError(f"{place}={target} leads to nothing ({_first_line(error)}); correct its name") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _outside() -> str:
    return (
        f"outside the allowed packages ({_allowed()}); use a class of those, or name a package of your own: "
        "'plugins=[my_package]'"
    )


def _allowed() -> str:
    return ", ".join(name.rstrip(".") for name in allowed_targets())


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
