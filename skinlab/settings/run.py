"""Define the settings that training and pretraining share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from skinlab.settings.base import MayDiffer
from skinlab.settings.command import CommandSettings
from skinlab.settings.data import DataSettings
from skinlab.settings.groups import (
    CallbackSettings,
    LoggerSettings,
    ModelSettings,
    OptimizerSettings,
    SchedulerSettings,
    TrainerSettings,
)
from skinlab.settings.part import Part
from skinlab.settings.types import Text, path_to


class RunDataSettings(DataSettings):
    """A data set whose images have a size."""

    image_size: Annotated[int, Field(ge=16)]  # smaller ones show no lesion


class RunSettings(CommandSettings):
    """The settings of a run that trains, in a directory of its own."""

    data: RunDataSettings
    model: ModelSettings
    optimizer: OptimizerSettings
    scheduler: SchedulerSettings
    trainer: TrainerSettings
    callbacks: CallbackSettings
    logger: Annotated[LoggerSettings, MayDiffer(resumed=True, recipe=True)]
    seed: Annotated[int, Field(ge=0), MayDiffer(recipe=True)]
    run_dir: Annotated[Text, MayDiffer(resumed=True, recipe=True)]
    resume: Annotated[Text, path_to("auto, never or a checkpoint", "resume=auto"), MayDiffer(resumed=True, recipe=True)]
    # Given by the command: the run's own where one goes on, else a new one.
    run_id: Annotated[str | None, MayDiffer(resumed=True, recipe=True)] = None

    def mistakes(self) -> Iterator[str]:
        """Yield the mistake of a warm-up that is longer than the run."""
        if self.scheduler.warmup_epochs >= self.trainer.max_epochs:
            yield (
                f"scheduler.warmup_epochs={self.scheduler.warmup_epochs}: the learning rate never reaches optimizer.lr "
                f"in trainer.max_epochs={self.trainer.max_epochs}; lower it or raise trainer.max_epochs"
            )

    def parts(self) -> dict[str, Part]:
        """Return what is built from a ``_target_``, by its place."""
        return {"data.reader": self.data.reader}
