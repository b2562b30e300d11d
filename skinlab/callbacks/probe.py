"""Probe a backbone during pretraining, on labelled training images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch

from skinlab.data.dataset import ImageDataset, batch_loader
from skinlab.data.samplers import EvalSampler
from skinlab.errors import UserError
from skinlab.evaluation.probing import probe_metrics
from skinlab.models.prediction import embed

KEPT_BYTES = 2**29  # of decoded images; more are decoded at each probe
SHARE = 0.1  # of the cost of the epochs from one probe to the next, which a probe has at most
# Forward passes that cost as much as an image of a probe (decoded, embedded, scored by two classifiers), and as a view
# in a training step: measured with effnet_lite0 at 96 px on two cores.
PROBE_PASSES, STEP_PASSES = 3, 3
PROBE_METRICS = [f"probe/{kind}_{name}" for kind in ("knn", "linear") for name in ("balanced_accuracy", "pr_auc_macro")]


class Probe(pl.Callback):
    """Logs the accuracy of nearest neighbours and of a linear classifier on the module's ``features``.

    The images are those of the training part alone, scored out of fold with whole groups kept together
    (:func:`skinlab.evaluation.probing.probe_metrics`), so that validation and test stay untouched.

    Args:
        dataset: labelled images as they are, without augmentation.
        groups: group of each.
        n_classes: classes of the data.
        every_n_epochs: how often; the start and the last epoch are always probed.
        num_workers: processes that load the images.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        groups: Sequence[str],
        n_classes: int,
        *,
        every_n_epochs: int = 1,
        num_workers: int = 0,
    ) -> None:
        self.dataset, self.groups, self.n_classes = dataset, list(groups), n_classes
        self.every_n_epochs, self.num_workers = every_n_epochs, num_workers
        self.start: dict[str, float] = {}
        self.metrics: dict[str, float] = {}
        self.kept: list[dict[str, torch.Tensor]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Probe the initial weights, and log their metrics in a row without an epoch."""
        if trainer.global_step == 0:
            self.start = self._shared(trainer, pl_module)
            for logger in trainer.loggers:
                logger.log_metrics(self.start, step=0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Probe every ``every_n_epochs`` epochs."""
        for name in self.metrics:  # Lightning keeps them: patience would count one probe once an epoch
            trainer.callback_metrics.pop(name, None)
        self.metrics, epoch = {}, trainer.current_epoch + 1
        if epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs:
            self.metrics = self._shared(trainer, pl_module)
            pl_module.log_dict(self.metrics)

    def _shared(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, float]:
        """Measure in one process for all; an error is raised in all, or the others would wait for ever."""
        found: dict[str, float] | str = {}
        if trainer.is_global_zero:
            try:
                found = self.measure(module)
            except UserError as error:
                found = str(error)
        found = trainer.strategy.broadcast(found)
        if isinstance(found, str):
            raise UserError(found)
        return found

    def measure(self, module: pl.LightningModule) -> dict[str, float]:
        """Return the metrics of a module in its present state.

        Raises:
            UserError: its features are no numbers.
        """
        features: Callable[[torch.Tensor], torch.Tensor] = module.features  # type: ignore[assignment]
        embedded = embed(features, self._batches(), device=module.device)
        try:
            metrics = probe_metrics(embedded, self.dataset.targets.numpy(), self.groups, self.n_classes)
        except ValueError as error:
            raise UserError(f"the probe failed: {error}; try a lower optimizer.lr") from None
        return {f"probe/{name}": value for name, value in metrics.items()}

    def _batches(self) -> Iterable[dict[str, torch.Tensor]]:
        """Return the images in batches, which are kept for the next probe unless they need too much memory."""
        if self.kept:
            return self.kept
        loader = batch_loader(self.dataset, EvalSampler(len(self.dataset)), batch_size=64, num_workers=self.num_workers)
        if 3 * self.dataset.size**2 * len(self.dataset) > KEPT_BYTES:
            return loader
        self.kept = [{"image": batch["image"].clone()} for batch in loader]  # out of the memory shared with workers
        return self.kept

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the metrics of the start, and those of its epoch if it was probed."""
        return {"start": self.start, "metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the metrics of the initial weights."""
        self.start = state_dict["start"]


def probe_interval(n_images: int, n_views: int) -> int:
    """Return the fewest epochs, of 1, 2, 5, 10, 20, 50, ..., of whose cost a probe has a tenth at most.

    The cost is counted in images and not measured, so that every run of a seed probes the same epochs.

    Args:
        n_images: of the probe.
        n_views: of an epoch.

    >>> probe_interval(900, 9000), probe_interval(900, 2240), probe_interval(2000, 100)
    (1, 5, 200)
    """
    probe, epoch = PROBE_PASSES * n_images, STEP_PASSES * n_views
    scale = 1
    while True:
        for step in (1, 2, 5):
            if probe <= SHARE * scale * step * epoch:
                return scale * step
        scale *= 10
