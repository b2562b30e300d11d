"""The settings of ``skinlab.fetch``."""

from __future__ import annotations

from collections.abc import Iterator

from skinlab.settings.command import CommandSettings
from skinlab.settings.data import DataSettings
from skinlab.settings.part import Part
from skinlab.settings.types import CountOrZero, NotNegative, Places, Positive, Text


class FetchSettings(CommandSettings):
    """``conf/fetch.yaml``."""

    data: DataSettings
    source: Text
    competition: Text | None
    archive: Places | None
    accept_license: bool
    retries: CountOrZero
    retry_pause: NotNegative
    timeout: Positive
    hosts: dict[str, Text]

    def parts(self) -> dict[str, Part]:
        """Return what is built from a ``_target_``, by its place."""
        return {"data.reader": self.data.reader}

    def mistakes(self) -> Iterator[str]:
        """Refuse a source for files that are here already, and a host that is no address."""
        if self.archive is not None and self.source != "auto":
            yield f"source={self.source}: archive= names files that are here already; leave one of them out"
        for name, address in self.hosts.items():
            if not address.startswith(("https://", "http://")):
                yield f"hosts.{name}={address} is no address: write https://NAME"
