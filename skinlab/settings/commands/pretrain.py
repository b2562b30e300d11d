"""The settings of ``skinlab.pretrain``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from skinlab.settings.groups import ProbeSettings, SslSettings, ViewSettings
from skinlab.settings.part import Part
from skinlab.settings.run import RunSettings

# What the model group, which skinlab.train shares, holds for it alone, and the value at which it changes nothing.
TRAINING_ONLY: dict[str, Any] = {
    "head": "linear",
    "keep_head": False,
    "ema_decay": 0.0,
    "swa_epochs": 0,
    "freeze_epochs": 0,
}


class PretrainSettings(RunSettings):
    """The settings of a pretraining."""

    ssl: SslSettings
    views: ViewSettings
    pool: Literal["all", "pool", "train"]
    probe: ProbeSettings

    def mistakes(self) -> Iterator[str]:
        """Yield invalid combinations of several groups, and what is of no use in a pretraining."""
        yield from super().mistakes()
        if self.model.compile == "cuda_graphs":
            yield "model.compile=cuda_graphs: it is for skinlab.train, with one pass a step; set model.compile=true"
        for name, neutral in TRAINING_ONLY.items():
            if (value := getattr(self.model, name)) != neutral:
                yield f"model.{name}={value}: it is for skinlab.train; leave it at {neutral}"
        if self.trainer.strategy == "fsdp":
            yield "trainer=fsdp is for skinlab.train: use trainer=ddp"

    def parts(self) -> dict[str, Part]:
        """Return what is built from a ``_target_``, by its place."""
        return super().parts() | {"views.transform": self.views.transform}
