"""The LightningModule of a pretraining: one training step for all methods and networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from skinlab.errors import UserError
from skinlab.models.backbone import build_network
from skinlab.models.normalise import Normalise
from skinlab.models.optim import build_optimizer, with_schedule
from skinlab.models.seeding import seed_epoch
from skinlab.selfsup.collapse import diagnose
from skinlab.selfsup.encoder import Encoder, output_shape
from skinlab.selfsup.feature_metrics import feature_metrics
from skinlab.selfsup.methods import arguments, build_method, check_batch, default_arguments

Batch = dict[str, Any]


class Pretrainer(pl.LightningModule):
    """Trains a backbone on views of unlabeled images by a method.

    A checkpoint holds all that a resumed run needs to equal an uninterrupted one: backbone, heads, teacher, queue and
    centre are among the weights, and the momentum follows from the number of optimiser steps. Only plain containers are
    kept as hyperparameters.

    Args:
        network: arguments of :func:`skinlab.models.backbone.build_network` other than the number of classes.
        method: ``_target_``, ``name`` and arguments, see :func:`skinlab.selfsup.methods.build_method`.
        inputs: ``image_size`` in pixels, ``fit``, ``mean`` and ``std`` of the pixels in [0, 1], ``colour_constancy``
            (none in older checkpoints).
        optimizer: see :func:`skinlab.models.optim.build_optimizer`; with ``lr_reference_batch`` the learning rate is
            multiplied by the images of an optimiser step, of all processes, over that number (256 in most papers).
        scheduler: ``name`` (cosine or constant), ``warmup_epochs``, ``min_ratio``.
        seed: with the epoch and the rank it fixes what is random in an epoch.

    Raises:
        UserError: an unknown network or method, or a wrong setting of theirs or of the optimiser.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        method: Mapping[str, Any],
        inputs: Mapping[str, Any],
        *,
        optimizer: Mapping[str, Any],
        scheduler: Mapping[str, Any],
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.normalise = Normalise(inputs["mean"], inputs["std"], inputs.get("colour_constancy", "none"))
        self.backbone = build_network(num_classes=0, **network).to(memory_format=torch.channels_last)
        (self.n_features,) = output_shape(self.backbone, inputs["image_size"])
        self.method_settings = dict(method)
        self.method = build_method(method, self.backbone, self.n_features)
        known = default_arguments(type(self.method)) | arguments(method)
        self.n_projected: int | None = known.get("output_dim")
        self.optimizer_settings, self.scheduler_settings, self.seed = dict(optimizer), dict(scheduler), seed
        if (decay := optimizer.get("layer_decay", 1.0)) != 1:
            raise UserError(f"optimizer.layer_decay={decay}: it is for fine-tuning; set it to 1.0")
        build_optimizer(self, self.optimizer_settings, batch_size=1)  # refuse mistakes before the training

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 images (B, 3, H, W) to features (B, F)."""
        features: Tensor = self.backbone(self.normalise(images))
        return features

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Map uint8 images (B, 3, H, W) to features (B, F) in evaluation mode, and leave the mode as it was."""
        was_training = self.backbone.training
        self.backbone.eval()
        features: Tensor = self(images)
        self.backbone.train(was_training)
        return features

    def diagnosis(self) -> str | None:
        """Return how the last epoch's features have collapsed, None if they have not."""
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        return diagnose(metrics, self.n_features, self.n_projected)

    def on_train_start(self) -> None:
        """Prepare the method, once the initial weights have been loaded."""
        if self.global_step == 0:
            self.method.start(self.backbone)

    def on_train_epoch_start(self) -> None:
        """Seed the epoch, and pass its number to the method."""
        seed_epoch(self, self.seed)
        self.method.start_epoch(self.current_epoch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the method's loss of a batch of views."""
        n = len(batch["row"])
        check_batch(self.method_settings, n)
        encode = Encoder(self.backbone)
        loss: Tensor = self.method([self.normalise(view) for view in batch["views"]], encode)
        self.log("train/loss_step", loss, on_step=True, on_epoch=False)
        self.log("loss", loss, prog_bar=True, logger=False)
        metrics = {"loss": loss} | feature_metrics(encode.features[: self.method.global_views], encode.projections)
        named = {f"train/{name}": value for name, value in metrics.items()}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=n, sync_dist=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Pass the gradients to the method."""
        self.method.before_step(self.current_epoch)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then update the teacher: once per optimiser step, however many batches it accumulates."""
        progress = self.global_step / max(self.total_steps - 1, 1)
        super().optimizer_step(*args, **kwargs)
        self.method.after_step(self.backbone, progress)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Build the optimiser of backbone and heads, and a schedule that advances with every optimiser step."""
        self.total_steps = total = int(self.trainer.estimated_stepping_batches)
        optimizer = build_optimizer(self, self.optimizer_settings, batch_size=self._images_a_step())
        epochs = self.trainer.max_epochs
        return with_schedule(optimizer, self.scheduler_settings, total_steps=total, max_epochs=epochs)

    def _images_a_step(self) -> int:
        """Return the number of images of an optimiser step, of all processes."""
        images = getattr(self.trainer.train_dataloader, "batch_size", None) or 1
        return int(images * self.trainer.world_size * self.trainer.accumulate_grad_batches)
