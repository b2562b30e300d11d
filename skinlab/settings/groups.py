"""Define the settings of the config groups that only training and pretraining have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from skinlab.settings.base import MayDiffer, Settings
from skinlab.settings.part import Part
from skinlab.settings.types import BelowOne, Count, CountOrZero, NotNegative, Number, Share, Text, path_to

HUB_NAME = re.compile(r"hf-hub:[\w.-]+/[\w.-]+(@[\w./-]+)?")


def _share_or_count(value: float) -> float:
    """Refuse a share above 1; 1 is one batch and 1.0 all of them."""
    if isinstance(value, float) and value > 1:
        raise ValueError("give a share from 0 to 1, or a whole number of batches")
    return value


def _name_of_weights(value: str) -> str:
    """Refuse a name of the hub in another form."""
    if value.startswith("hf-hub:") and not HUB_NAME.fullmatch(value):
        raise ValueError("give hf-hub:OWNER/NAME, or hf-hub:OWNER/NAME@REVISION")
    return value


Batches = Annotated[Number, Field(gt=0), AfterValidator(_share_or_count)]


class ModelSettings(Settings):
    """A timm network and the weights it starts from."""

    name: Text
    image_size: Count
    init: Annotated[
        Text,
        path_to("auto, imagenet, random, a run or a file of weights", "model.init=imagenet"),
        AfterValidator(_name_of_weights),
    ]
    keep_head: bool
    allow_seen: Annotated[bool, MayDiffer(resumed=True)]
    dropout: BelowOne
    head: Literal["linear", "cosine"]
    ema_decay: BelowOne
    swa_epochs: CountOrZero
    freeze_epochs: Annotated[int, Field(ge=0)]
    compile: Annotated[bool | Literal["auto", "cuda_graphs"], MayDiffer(resumed=True, recipe=True)]


class SamplerSettings(Settings):
    """How often the images of each class and source are sampled."""

    power: Share
    by_source: bool


class AugmentSettings(Settings):
    """The augmentation of training images."""

    transform: Part
    mixup: NotNegative
    cutmix: NotNegative
    amplitude_mix: Share


class ViewSettings(Settings):
    """The views of a pretraining: large ones, and smaller ones for multi-crop."""

    transform: Part
    lesion_pairs: Share
    n_small: Annotated[int, Field(ge=0)]
    small_size: Count
    small_scale: list[Share]


class SemiSettings(Settings):
    """A semi-supervised strategy, or ``none``; further settings are arguments of the strategy."""

    model_config = ConfigDict(extra="allow")

    name: Text
    pool_ratio: Count | None = None
    prior: list[Number] | None = None
    weak: Part | None = None
    strong: Part | None = None
    target: str | None = Field(default=None, alias="_target_")

    @property
    def strategy(self) -> Part | None:
        """The strategy with its arguments, without the prior, which may have to be counted; None for ``semi=none``."""
        own = ("name", "pool_ratio", "prior", "weak", "strong")
        arguments = {key: value for key, value in self.dump().items() if key not in own}
        return None if self.target is None else Part.model_validate(arguments)


class SslSettings(Part):
    """A self-supervised method, which checks its arguments itself."""

    name: Text


class OptimizerSettings(Settings):
    """One of timm's optimisers; further settings are its own arguments."""

    model_config = ConfigDict(extra="allow")

    name: Text
    lr: Annotated[Number, Field(gt=0)]
    weight_decay: NotNegative
    layer_decay: Annotated[Number, Field(gt=0, le=1)]
    momentum: Number | None = None
    trust_coeff: Number | None = None
    lr_reference_batch: Annotated[
        Annotated[Number, Field(gt=0)] | None,
        Field(description="batch size that lr is for, and grows with; added by +optimizer.lr_reference_batch=256"),
    ] = None


class SchedulerSettings(Settings):
    """The schedule of the learning rate."""

    name: Literal["cosine", "constant"]
    warmup_epochs: NotNegative
    min_ratio: Share

    def mistakes(self) -> Iterator[str]:
        """Yield the mistake of a constant learning rate with a final value."""
        if self.name == "constant" and self.min_ratio != 1:
            yield (
                f"scheduler.min_ratio={self.min_ratio}: a constant learning rate never falls; set it to 1, or "
                "scheduler=cosine"
            )


class TrainerSettings(Settings):
    """Arguments of Lightning's Trainer; others may be added, as in ``+trainer.max_steps=100``."""

    model_config = ConfigDict(extra="allow")

    accelerator: Text
    devices: int | str | list[int]
    num_nodes: Count | Literal["auto"]
    strategy: Text
    precision: int | str
    max_epochs: Count
    accumulate_grad_batches: Count
    gradient_clip_val: NotNegative | None
    sync_batchnorm: bool
    deterministic: bool | Literal["warn"]
    log_every_n_steps: Annotated[Count, MayDiffer(resumed=True)]
    limit_train_batches: Batches
    limit_val_batches: Batches
    check_val_every_n_epoch: Count
    cluster: Annotated[Literal["slurm"] | None, MayDiffer(resumed=True)] = None
    requeue_signal: Annotated[Literal["USR1", "USR2"] | None, MayDiffer(resumed=True)] = None


class CallbackSettings(Settings):
    """Which epoch is the best one, and when to stop early."""

    monitor: Text
    patience: Annotated[int, Field(ge=0)]
    progress: Annotated[bool, MayDiffer(resumed=True, recipe=True)]


class TrainCallbackSettings(CallbackSettings):
    """The callbacks of a training, whose monitor has a direction."""

    mode: Literal["auto", "min", "max"]


class ProbeSettings(Settings):
    """The probe of a pretraining on labelled training images."""

    every_n_epochs: Annotated[int, Field(ge=0)] | Literal["auto"]
    max_images: Annotated[int, Field(ge=2)]


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
