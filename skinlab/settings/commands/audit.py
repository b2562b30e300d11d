"""The settings of ``skinlab.audit``."""

from __future__ import annotations

from typing import Annotated

from skinlab.settings.command import CommandSettings
from skinlab.settings.data import DataSettings
from skinlab.settings.part import Part
from skinlab.settings.types import Text, path_to


class AuditSettings(CommandSettings):
    """The settings of an audit."""

    data: DataSettings
    run_dir: Text
    contact_sheet: Annotated[Text, path_to("a picture file", "contact_sheet=sheet.png")] | None

    def parts(self) -> dict[str, Part]:
        """Return what is built from a ``_target_``, by its place."""
        return {"data.reader": self.data.reader}
