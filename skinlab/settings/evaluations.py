"""Define the settings that all commands which evaluate predictions share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from skinlab.settings.base import Settings
from skinlab.settings.command import CommandSettings, required
from skinlab.settings.evidence import EvidenceSettings
from skinlab.settings.types import NamesOrEmpty, Text

Split = Literal["auto", "val", "test"]


class EvaluationCommandSettings(EvidenceSettings, CommandSettings):
    """The settings of a command that writes evidence into ``output``."""

    output: Annotated[Text, required("DIR")]
    overwrite: bool
    apply_thresholds: Text | None
    cross_fit: bool
    compare_by: NamesOrEmpty
    wandb: bool


class TableSettings(Settings):
    """How tables of predictions and of labels are read."""

    labels: Text | None
    on_label_conflict: Literal["error", "labels"]
    columns: dict[str, Text | None]
    label_map: dict[Any, Any] | None
