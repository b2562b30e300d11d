"""The settings of ``skinlab.evaluate``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from skinlab.settings.base import Settings
from skinlab.settings.command import EvaluationCommandSettings, Split, TableSettings, required
from skinlab.settings.types import Number, Places, Text


class ExpectSettings(Settings):
    """A test set to come: its number of images, and its share of positives."""

    n: Annotated[int, Field(ge=2)]
    prevalence: Annotated[Number, Field(gt=0, lt=1)]


class EvaluateSettings(EvaluationCommandSettings, TableSettings):
    """``conf/evaluate.yaml``."""

    predictions: Annotated[Places, required("RUN_OR_FILE")]
    split: Split
    reference: Text | None
    common: bool
    expect: ExpectSettings | None
    unpaired: bool | Literal["auto"]
