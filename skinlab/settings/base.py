"""Define the base class of all settings: immutable, created from a config and checked as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from skinlab.errors import UserError
from skinlab.settings.mistakes import describe

Created = TypeVar("Created", bound="Settings")


@dataclass(frozen=True)
class MayDiffer:
    """Marks a setting, or a whole group, that may differ between two runs.

    Attributes:
        resumed: between two parts of a resumed run.
        recipe: between two runs of one recipe, such as its seeds and folds.
    """

    resumed: bool = False
    recipe: bool = False


class Settings(BaseModel):
    """A group of settings: types and limits. Their values are in ``conf/`` alone, so that a field has no default.

    A field with the default None is a setting that only some choices of the group have. Values are not converted: 1.5,
    true or "3" is no whole number. Override :meth:`mistakes` for what several settings together must not be.

    .. code-block:: python

        class ProbeSettings(Settings):
            every_n_epochs: Annotated[int, Field(ge=0)]
            metric: Annotated[Literal["knn", "linear"], MayDiffer(resumed=True)]
            smoothing: Number | None = None  # of skinlab.settings.types

        class DemoSettings(Settings):
            probe: ProbeSettings
            output: Text

        demo = create(DemoSettings, {"probe": {"every_n_epochs": 2, "metric": "knn"}, "output": "here"})
        demo.probe.every_n_epochs  # 2
        demo.dump()["probe"]  # {'every_n_epochs': 2, 'metric': 'knn'}
        demo.updated({"probe.metric": "linear"})  # another object
        names_that_may_differ(DemoSettings, "resumed")  # ['probe.metric']
        demo.updated({"probe.every_n_epochs": 1.5, "probe.metric": "knnn"})
        # UserError: probe.every_n_epochs=1.5: a whole number is expected; probe.metric=knnn: knn or linear is expected
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def mistakes(self) -> Iterator[str]:
        """Yield one line for each invalid combination of these settings: the mistake, its place, a remedy."""
        return iter(())

    @model_validator(mode="after")
    def _refuse_mistakes(self) -> Self:
        if lines := list(self.mistakes()):
            raise UserError("; ".join(lines))
        return self

    def parts(self) -> Mapping[str, Settings]:
        """Return what is built from a ``_target_``, by its dotted place, see :class:`skinlab.settings.part.Part`."""
        return {}

    def find(self, name: str) -> Any:
        """Return the value of a dotted name, None where these settings do not have it."""
        found: Any = self
        for key in name.split("."):
            found = getattr(found, key, None)
        return found

    def dump(self) -> dict[str, Any]:
        """Return the settings as plain containers, with the names and values that they were created from."""
        return self.model_dump(by_alias=True, exclude_unset=True)

    def updated(self, values: Mapping[str, Any]) -> Self:
        """Return these settings with other values, checked again.

        Args:
            values: dotted name → value.
        """
        content = self.dump()
        for name, value in values.items():
            *groups, key = name.split(".")
            node = content
            for group in groups:
                node = node[group]
            node[key] = value
        return create(type(self), content)


def create(model: type[Created], config: Mapping[str, Any]) -> Created:
    """Create settings from a resolved config.

    Args:
        model: of the command or group.
        config: plain containers.

    Raises:
        UserError: one line that names every mistake.
    """
    try:
        return model.model_validate(dict(config))
    except ValidationError as error:
        raise UserError("; ".join(describe(error, config, {name: f for name, f, _ in walk(model)}))) from None


def walk(model: type[Settings], place: str = "") -> Iterator[tuple[str, FieldInfo, list[Any]]]:
    """Yield the dotted name of every setting and group of a model with its field and all of its metadata."""
    for key, field in model.model_fields.items():
        name = f"{place}{field.alias or key}"
        yield name, field, [*field.metadata, *_metadata(field.annotation)]
        for group in groups_within(field.annotation):
            yield from walk(group, f"{name}.")


def _metadata(annotation: Any) -> Iterator[Any]:
    """Yield what ``Annotated`` adds anywhere within a type."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for part in get_args(annotation):
        yield from _metadata(part)


def groups_within(annotation: Any) -> Iterator[type[Settings]]:
    """Yield the models within a type."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from groups_within(part)


def names_that_may_differ(model: type[Settings], between: Literal["resumed", "recipe"]) -> list[str]:
    """Return the dotted names of the settings and groups that may differ between two runs, see :class:`MayDiffer`."""
    return [
        name
        for name, _, metadata in walk(model)
        if any(isinstance(each, MayDiffer) and getattr(each, between) for each in metadata)
    ]


def is_among(name: str, names: list[str]) -> bool:
    """Return whether a setting is one of the names, or belongs to a group among them.

    >>> is_among("logger.wandb.project", ["logger", "seed"]), is_among("seeds", ["seed"])
    (True, False)
    """
    return any(name == each or name.startswith(f"{each}.") for each in names)
