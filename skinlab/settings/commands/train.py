"""The settings of ``skinlab.train``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializerFunctionWrapHandler, WrapSerializer

from skinlab.settings.base import MayDiffer
from skinlab.settings.command import EvidenceSettings
from skinlab.settings.groups import AugmentSettings, SamplerSettings, SemiSettings, TrainCallbackSettings
from skinlab.settings.part import Part
from skinlab.settings.run import RunSettings


def _or_empty(evidence: EvidenceSettings | None, handler: SerializerFunctionWrapHandler) -> Any:
    return {} if evidence is None else handler(evidence)


class TrainSettings(RunSettings):
    """The settings of a training; ``evidence=off``, which is empty, is None."""

    callbacks: TrainCallbackSettings
    loss: Part
    sampler: SamplerSettings
    augment: AugmentSettings
    semi: SemiSettings
    test: Annotated[bool, MayDiffer(resumed=True, recipe=True)]
    evidence: Annotated[
        EvidenceSettings | None,
        BeforeValidator(lambda value: value or None),
        WrapSerializer(_or_empty),
        MayDiffer(resumed=True, recipe=True),
    ]

    def mistakes(self) -> Iterator[str]:
        """Yield invalid combinations of several groups."""
        yield from super().mistakes()
        if self.callbacks.monitor.startswith("test/"):
            yield (
                f"callbacks.monitor={self.callbacks.monitor}: the test chooses nothing; choose a metric of the "
                "validation images, such as val/loss"
            )
        if self.model.compile == "cuda_graphs" and self.semi.name != "none":
            yield "model.compile=cuda_graphs: it is for one pass a step, and semi= has several; set model.compile=true"
        every, epochs = self.trainer.check_val_every_n_epoch, self.trainer.max_epochs
        if every > epochs:
            yield (
                f"trainer.check_val_every_n_epoch={every}: choose from 1 to trainer.max_epochs={epochs}, or no epoch "
                "is judged"
            )

        if self.find("loss.domain") and (self.augment.mixup or self.augment.cutmix or self.semi.name != "none"):
            yield (
                f"loss.domain={self.find('loss.domain')}: a mixed or unlabelled image is of no group; set "
                "augment.mixup=0, augment.cutmix=0 and semi=none"
            )
        averages = self.model.ema_decay > 0 or self.model.swa_epochs > 0
        if self.semi.name == "mean_teacher" and averages:
            yield "semi=mean_teacher averages the weights itself: set model.ema_decay=0 and model.swa_epochs=0"
        if self.model.ema_decay > 0 and self.model.swa_epochs > 0:
            yield "model.ema_decay and model.swa_epochs average the same weights: set one of them to 0"
        if self.trainer.strategy == "fsdp":
            if self.model.compile:
                yield "trainer=fsdp: a compiled network is not sharded; set model.compile=false"
            if self.semi.name == "mean_teacher":
                yield "trainer=fsdp: the teacher of semi=mean_teacher is not sharded; use trainer=ddp"

    def parts(self) -> dict[str, Part]:
        """Return what is built from a ``_target_``, by its place."""
        own = {"loss": self.loss, "augment.transform": self.augment.transform}
        pool = {"semi": self.semi.strategy, "semi.weak": self.semi.weak, "semi.strong": self.semi.strong}
        return super().parts() | own | {name: part for name, part in pool.items() if part is not None}
