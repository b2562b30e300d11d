"""Where the metrics of a run are logged: ``logger=``."""

from __future__ import annotations

from skinlab.settings.base import Settings
from skinlab.settings.types import Text


class NoSettings(Settings):
    """A logger without settings."""


class WandbSettings(Settings):
    """Weights & Biases; the names of a run there."""

    project: Text | None
    entity: Text | None
    name: Text | None
    group: Text | None
    tags: list[Text] | None
    offline: bool


class LoggerSettings(Settings):
    """The loggers of a run, None for those that it does not have."""

    csv: NoSettings | None = None
    tensorboard: NoSettings | None = None
    wandb: WandbSettings | None = None

    def __bool__(self) -> bool:
        """Return whether there is any logger."""
        return any(each is not None for each in (self.csv, self.tensorboard, self.wandb))
