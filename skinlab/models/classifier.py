"""The supervised LightningModule, for any network, loss and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from skinlab.errors import UserError
from skinlab.losses.cross_entropy import CrossEntropy
from skinlab.models.backbone import build_network
from skinlab.models.epoch_metrics import WORST_GROUP, EpochMetrics, WorstGroupAccuracy
from skinlab.models.mixing import mix_amplitudes, mix_batch
from skinlab.models.normalise import Normalise
from skinlab.models.optim import build_optimizer, with_schedule
from skinlab.models.seeding import seed_epoch
from skinlab.models.strategy import Strategy

Batch = dict[str, Any]
TEACHER = "semi.teacher."


class Classifier(pl.LightningModule):
    """A network with its normalisation, loss, metrics and optimiser.

    Hyperparameters are plain containers, so that a checkpoint loads with ``weights_only=True`` and is enough for
    inference.

    Args:
        network: arguments of :func:`skinlab.models.backbone.build_network` other than the number of classes.
        classes: class names in the order of the logits.
        inputs: ``image_size`` in pixels, ``fit``, ``mean`` and ``std`` of the pixels in [0, 1], ``colour_constancy``
            (none in older checkpoints).
        optimizer: see :func:`skinlab.models.optim.build_optimizer`.
        scheduler: ``name`` (cosine or constant), ``warmup_epochs``, ``min_ratio``.
        training_prior: share of each class in the training batches (after the sampler).
        positive: the positive one of two classes; None for more, and in older checkpoints.
        licence: of the initial weights; None where it is not known, for random ones, and in older checkpoints.
        mixup: alpha of mixup, 0 for none.
        cutmix: alpha of CutMix, 0 for none.
        amplitude_mix: see :func:`skinlab.models.mixing.mix_amplitudes`; 0 for none.
        seed: with the epoch and the rank it determines dropout and mixing.
        loss: maps logits ``(B, C)`` and targets ``(B,)``, and the domains ``(B,)`` of batches that have them, to a
            scalar; cross-entropy if left out.
        semi: strategy for the batches' pool part; None if they have none.

    Raises:
        UserError: a strategy is combined with mixup or CutMix.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        classes: Sequence[str],
        inputs: Mapping[str, Any],
        *,
        optimizer: Mapping[str, Any],
        scheduler: Mapping[str, Any],
        training_prior: Sequence[float],
        positive: str | None = None,
        licence: str | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        amplitude_mix: float = 0.0,
        seed: int = 0,
        loss: nn.Module | None = None,
        semi: Strategy | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["loss", "semi"])
        self.normalise = Normalise(inputs["mean"], inputs["std"], inputs.get("colour_constancy", "none"))
        self.network = build_network(num_classes=len(classes), **network).to(memory_format=torch.channels_last)
        self.loss, self.semi = loss or CrossEntropy(), semi
        if semi is not None:
            if mixup or cutmix:
                raise UserError(
                    f"augment.mixup={mixup}, augment.cutmix={cutmix}: no mixing of labelled images beside semi=; set "
                    "both to 0 (semi=mixmatch mixes by itself)"
                )
            semi.attach(self.network)
        self.metrics, self.worst_group = EpochMetrics(classes, positive), WorstGroupAccuracy()
        self.mixing, self.amplitude_mix = {"mixup": mixup, "cutmix": cutmix}, amplitude_mix
        self.optimizer_settings, self.scheduler_settings, self.seed = dict(optimizer), dict(scheduler), seed
        self.last_validation: dict[str, float] = {}

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and saved: the strategy's teacher, if it has one, or the trained network."""
        teacher = None if self.semi is None else self.semi.teacher
        return self.network if teacher is None else teacher

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map uint8 images ``(B, 3, H, W)`` to logits ``(B, C)``."""
        logits: torch.Tensor = self.kept(self.normalise(images))
        return logits

    def on_train_start(self) -> None:
        """Start the strategy with the initial weights, which may have been loaded after it was built."""
        if self.semi is not None and self.global_step == 0:
            self.semi.start(self.network)

    def on_train_epoch_start(self) -> None:
        """Seed the epoch, and pass its number to a loss that depends on it."""
        self.mixing_rng = seed_epoch(self, self.seed)
        if callable(set_epoch := getattr(self.loss, "set_epoch", None)):
            set_epoch(self.current_epoch, self.trainer.max_epochs)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Return the loss of a batch, with mixing or with the pool's part by a strategy."""
        images, target = batch["image"], batch["target"]
        if self.amplitude_mix:
            images = mix_amplitudes(images, self.amplitude_mix, self.mixing_rng)
        images = self.normalise(images)
        if self.semi is not None:
            loss = self._semi_loss(self.semi, batch | {"image": images})
        elif any(self.mixing.values()):
            images, partner, lam = mix_batch(images, rng=self.mixing_rng, **self.mixing)
            logits = self.network(images)
            loss = lam * self.loss(logits, target) + (1 - lam) * self.loss(logits, target[partner])
        else:
            loss = self.loss(self.network(images), target, **{key: batch[key] for key in ("domain",) if key in batch})
        self.log("train/loss_step", loss, on_step=True, on_epoch=False)
        self.log("loss", loss, prog_bar=True, logger=False)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(target), sync_dist=True)
        return loss

    def _semi_loss(self, semi: Strategy, batch: Batch) -> torch.Tensor:
        pool = {view: self.normalise(batch["pool"][view]) for view in ("weak", "strong")}
        supervised, unsupervised = semi(
            self.network,
            batch | {"pool": pool},
            loss=self.loss,
            progress=self.global_step / self.total_steps,
            rng=self.mixing_rng,
        )
        parts = {"train/loss_labelled": supervised, "train/loss_pool": unsupervised}
        self.log_dict(parts, on_step=False, on_epoch=True, batch_size=len(batch["target"]), sync_dist=True)
        loss: torch.Tensor = supervised + unsupervised
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then update the strategy: once an optimiser step, however many batches it accumulates."""
        super().optimizer_step(*args, **kwargs)
        if self.semi is not None:
            self.semi.after_step(self.network)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect probabilities for the metrics at the end of the epoch."""
        logits = self(batch["image"]).float()
        probabilities = logits.softmax(1)
        self.metrics.update(probabilities, batch["target"], self.loss(logits, batch["target"]))
        if "domain" in batch:
            self.worst_group.update(probabilities, batch["target"], batch["domain"])

    def on_validation_epoch_start(self) -> None:
        """Discard the predictions of a sanity check."""
        self.metrics.reset()
        self.worst_group.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's metrics at natural prevalence."""
        metrics = {f"val/{name}": value.float() for name, value in self.metrics.compute().items()}
        if self.worst_group.rows.update_called:
            metrics[f"val/{WORST_GROUP}"] = self.worst_group.compute()
        self.last_validation = {name: float(value) for name, value in metrics.items()}
        self.log_dict(metrics)
        self.log("balanced_accuracy", metrics["val/balanced_accuracy"], prog_bar=True, logger=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the epoch's metrics, and put the weights of the validated network in their usual place.

        The strategy's state, and the student's weights if a teacher was validated, are stored separately, so that the
        checkpoint is like that of any classifier.
        """
        checkpoint["validation"] = dict(self.last_validation)
        if self.semi is not None:
            state = self._exchanged(checkpoint["state_dict"])
            checkpoint["semi"] = {name: state.pop(name) for name in list(state) if name.startswith("semi.")}
            checkpoint["state_dict"] = state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the strategy's state and the student's weights.

        Raises:
            UserError: the checkpoint is of another strategy.
        """
        if self.semi is None:
            return
        theirs = checkpoint.get("semi", {})
        if theirs.keys() != {name for name in self.state_dict() if name.startswith("semi.")}:
            raise UserError("the checkpoint was trained with another semi=; start anew with model.init=FILE")
        checkpoint["state_dict"] = self._exchanged(checkpoint["state_dict"] | theirs)

    def _exchanged(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Exchange the names of the teacher's and the network's weights."""
        return {_exchanged_name(name) if self.kept is not self.network else name: state[name] for name in state}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Build the optimiser and a schedule that changes with every optimiser step."""
        optimizer = build_optimizer(self.network, self.optimizer_settings)
        self.total_steps = total = int(self.trainer.estimated_stepping_batches)
        epochs = self.trainer.max_epochs
        return with_schedule(optimizer, self.scheduler_settings, total_steps=total, max_epochs=epochs)


def _exchanged_name(name: str) -> str:
    if name.startswith(TEACHER):
        return "network." + name.removeprefix(TEACHER)
    return TEACHER + name.removeprefix("network.") if name.startswith("network.") else name
