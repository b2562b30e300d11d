"""The settings of ``skinlab.doctor``."""

from __future__ import annotations

from typing import Annotated

from skinlab.settings.command import CommandSettings
from skinlab.settings.types import NotNegative, Text, path_to


class DoctorSettings(CommandSettings):
    """``conf/doctor.yaml``."""

    data_home: Annotated[Text, path_to("a folder", "data_home=DIR")]
    cache_dir: Annotated[Text, path_to("a folder", "cache_dir=DIR")]
    work_dir: Annotated[Text, path_to("a folder", "work_dir=DIR")]
    min_free_gb: NotNegative
