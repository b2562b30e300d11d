"""Define how images are loaded, for all commands that predict."""

from __future__ import annotations

from typing import Literal

from skinlab.settings.command import CommandSettings
from skinlab.settings.types import Count, Workers


class WorkerSettings(CommandSettings):
    """How many processes load images; ``auto`` leaves one core to the network."""

    num_workers: Workers


class DeviceSettings(WorkerSettings):
    """Where a network predicts."""

    device: Literal["auto", "cpu", "cuda"]


class LoadingSettings(DeviceSettings):
    """How images that may be damaged are predicted."""

    batch_size: Count
    on_bad_image: Literal["error", "drop"]
