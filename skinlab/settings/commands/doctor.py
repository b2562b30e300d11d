"""The settings of ``skinlab.doctor``."""

from __future__ import annotations

from skinlab.settings.command import CommandSettings
from skinlab.settings.types import NotNegative, Text


class DoctorSettings(CommandSettings):
    """``conf/doctor.yaml``."""

    data_home: Text
    cache_dir: Text
    work_dir: Text
    min_free_gb: NotNegative
