"""The settings of ``skinlab.tta``."""

from __future__ import annotations

from typing import Annotated

from skinlab.settings.command import DeviceSettings, EvaluationCommandSettings, Split, required
from skinlab.settings.types import Names, Places, Text


class TtaSettings(EvaluationCommandSettings, DeviceSettings):
    """``conf/tta.yaml``."""

    ckpt: Annotated[Places, required("RUN")]
    split: Split
    tta: Names | None
    columns: dict[str, Text | None]
