"""The self-supervised LightningModule: one shared step, whatever the method, the network and the data."""

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
from skinlab.selfsup.figures import figures_of
from skinlab.selfsup.methods import build_method, check_batch, default_settings

Batch = dict[str, Any]


class Pretrainer(pl.LightningModule):
    """A backbone without head, learning from views of images without labels.

    All that a run needs to go on as if it had never stopped lies in its checkpoint: backbone, heads, teacher, queue
    and centre among the weights, the momentum's place in the number of optimiser steps. Only plain containers are kept
    as hyperparameters.

    Args:
        network: arguments of :func:`skinlab.models.backbone.build_network` other than the number of classes.
        method: ``name`` and settings of :func:`skinlab.selfsup.methods.build_method`.
        inputs: ``image_size`` in pixels, ``fit``, ``mean`` and ``std`` of the pixels in [0, 1].
        optimizer: see :func:`skinlab.models.optim.build_optimizer`; with ``lr_reference_batch`` the learning rate is
            multiplied by the images of an optimiser step, of all processes, over that number (256 in most papers).
        scheduler: ``name`` (cosine or constant), ``warmup_epochs``, ``min_ratio``.
        seed: with the epoch and the rank it fixes what is random in an epoch.

    Raises:
        UserError: no such network or method, or a setting of theirs or of the optimiser that can't be.
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
        self.normalise = Normalise(inputs["mean"], inputs["std"])
        self.backbone = build_network(num_classes=0, **network).to(memory_format=torch.channels_last)
        (self.n_features,) = output_shape(self.backbone, inputs["image_size"])
        settings = dict(method)
        self.method_name = settings.pop("name")
        self.method = build_method(self.method_name, self.backbone, self.n_features, settings)
        self.n_projected: int | None = (default_settings(self.method_name) | settings).get("output_dim")
        self.optimizer_settings, self.scheduler_settings, self.seed = dict(optimizer), dict(scheduler), seed
        if (decay := optimizer.get("layer_decay", 1.0)) != 1:
            raise UserError(f"optimizer.layer_decay={decay}: it is for fine-tuning; pretraining wants 1.0")
        build_optimizer(self, self.optimizer_settings, batch_size=1)  # refuses now what it would refuse later

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
        """Return in what way the last epoch's features have collapsed, None if they have not."""
        figures = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        return diagnose(figures, self.n_features, self.n_projected)

    def on_train_start(self) -> None:
        """Begin with a teacher that has the first weights, which may have been loaded since it was made."""
        if self.global_step == 0:
            self.method.start(self.backbone)

    def on_train_epoch_start(self) -> None:
        """Seed the epoch, and tell the method which it is."""
        seed_epoch(self, self.seed)
        self.method.start_epoch(self.current_epoch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the method's loss of a batch of views."""
        n = len(batch["row"])
        check_batch(self.method_name, n)
        encode = Encoder(self.backbone)
        loss: Tensor = self.method([self.normalise(view) for view in batch["views"]], encode)
        self.log("train/loss_step", loss, on_step=True, on_epoch=False)
        self.log("loss", loss, prog_bar=True, logger=False)
        figures = {"loss": loss} | figures_of(encode.features[: self.method.global_views], encode.projections)
        named = {f"train/{name}": value for name, value in figures.items()}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=n, sync_dist=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the method see the gradients."""
        self.method.before_step(self.current_epoch)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the teacher follow: once an optimiser step, however many batches it accumulates."""
        progress = self.global_step / max(self.total_steps - 1, 1)
        super().optimizer_step(*args, **kwargs)
        self.method.after_step(self.backbone, progress)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Build the optimiser of backbone and heads, and a schedule that moves with every optimiser step."""
        self.total_steps = total = int(self.trainer.estimated_stepping_batches)
        optimizer = build_optimizer(self, self.optimizer_settings, batch_size=self._images_a_step())
        epochs = self.trainer.max_epochs
        return with_schedule(optimizer, self.scheduler_settings, total_steps=total, max_epochs=epochs)

    def _images_a_step(self) -> int:
        """Return the images of an optimiser step, of all processes; the loader is there once its length was asked."""
        images = getattr(self.trainer.train_dataloader, "batch_size", None) or 1
        return int(images * self.trainer.world_size * self.trainer.accumulate_grad_batches)
