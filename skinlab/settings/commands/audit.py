"""The settings of ``skinlab.audit``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from skinlab.settings.base import Settings
from skinlab.settings.command import CommandSettings
from skinlab.settings.data import DataSettings
from skinlab.settings.part import Part
from skinlab.settings.types import AsList, Count, Names, Number, Text, path_to, read_names

Kind = Literal["copies", "same_lesion", "pretraining", "epoch", "threshold"]
Shares = Annotated[list[Annotated[Number, Field(gt=0, le=1)]], Field(min_length=1)]


class LeakSettings(Settings):
    """The settings of a leak meter."""

    kinds: Annotated[list[Kind], BeforeValidator(read_names), AsList()]
    copies: Shares
    same_lesion: Shares
    network: Text
    image_size: Annotated[int, Field(ge=16)]
    epochs: Count
    pretrain_epochs: Count
    n_images: Count | None
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    rules: Names
    positive: Names | None
    base: Annotated[list[str], AsList()]

    def mistakes(self) -> Iterator[str]:
        """Yield the lists that name a value twice."""
        for name in ("copies", "same_lesion", "seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                yield f"leaks.{name}=[{','.join(map(str, values))}]: one is there twice; give each once"


class AuditSettings(CommandSettings):
    """The settings of an audit."""

    data: DataSettings
    run_dir: Text
    contact_sheet: Annotated[Text, path_to("a picture file", "contact_sheet=sheet.png")] | None
    leak_meter: bool
    leaks: LeakSettings

    def parts(self) -> dict[str, Part]:
        """Return what is built from a ``_target_``, by its place."""
        return {"data.reader": self.data.reader}
