"""The settings of ``skinlab.tta``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from skinlab.settings.evaluations import EvaluationCommandSettings, Split
from skinlab.settings.images import DeviceSettings
from skinlab.settings.name_lists import read_names
from skinlab.settings.required import required
from skinlab.settings.types import AsList, Text


class TtaSettings(EvaluationCommandSettings, DeviceSettings):
    """``conf/tta.yaml``."""

    ckpt: Annotated[Text, required("RUN")]
    split: Split
    tta: Annotated[list[Literal["none", "flips", "d4", "multicrop"]], BeforeValidator(read_names), AsList()] | None
