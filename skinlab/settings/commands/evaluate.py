"""The settings of ``skinlab.evaluate``."""

from __future__ import annotations

from typing import Annotated, Literal

from skinlab.settings.command import EvaluationCommandSettings, Split, TableSettings, required
from skinlab.settings.types import Places, Text


class EvaluateSettings(EvaluationCommandSettings, TableSettings):
    """``conf/evaluate.yaml``."""

    predictions: Annotated[Places, required("RUN_OR_FILE")]
    split: Split
    reference: Text | None
    unpaired: bool | Literal["auto"]
