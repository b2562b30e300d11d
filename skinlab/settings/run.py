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
        """Yield the mistakes of a warm-up that is longer than the run, and of a network that can't be compiled so."""
        if self.scheduler.warmup_epochs >= self.trainer.max_epochs:
            yield (
                f"scheduler.warmup_epochs={self.scheduler.warmup_epochs}: the learning rate never reaches optimizer.lr "
                f"in trainer.max_epochs={self.trainer.max_epochs}; lower it or raise trainer.max_epochs"
            )

        chosen, trainer = self.model.compile, self.trainer
        devices = len(trainer.devices) if isinstance(trainer.devices, list) else trainer.devices
        if chosen in ("auto", "cuda_graphs") and (devices, trainer.num_nodes) != (1, 1):
            yield f"model.compile={chosen}: it is for one device; set model.compile=true or false, or trainer.devices=1"
        if chosen == "cuda_graphs" and trainer.accelerator == "cpu":
            yield "model.compile=cuda_graphs: the processor has none; set model.compile=false, or choose trainer=gpu"
        if chosen == "cuda_graphs" and trainer.accumulate_grad_batches > 1:  # pytorch/pytorch#169545
            yield (
                "model.compile=cuda_graphs: it overwrites the gradients that trainer.accumulate_grad_batches adds up; "
                "set that to 1, or model.compile=true"
            )

    def parts(self) -> dict[str, Part]:
        """Return what is built from a ``_target_``, by its place."""
        return {"data.reader": self.data.reader}
