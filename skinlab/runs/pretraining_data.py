"""Load the views of a pretraining, and build its probe."""

from __future__ import annotations

import logging

import pytorch_lightning as pl

from skinlab.callbacks.probe import Probe, probe_interval
from skinlab.data.datamodule import SkinDataModule
from skinlab.data.dataset import ImageDataset, Loader
from skinlab.errors import UserError
from skinlab.evaluation.probing import probe_folds, stratified
from skinlab.selfsup.methods import needed_views
from skinlab.settings.commands.pretrain import PretrainSettings
from skinlab.settings.groups import ProbeSettings
from skinlab.text import quantity

log = logging.getLogger(__name__)


class PretrainingData(pl.LightningDataModule):
    """Serves the views of the images that a method learns from.

    Args:
        datamodule: reads the images.
        settings: of the run.
    """

    def __init__(self, datamodule: SkinDataModule, settings: PretrainSettings) -> None:
        super().__init__()
        views, method = settings.views, settings.ssl.name
        n_large, n_small = needed_views(settings.ssl.dump())
        if views.n_small not in (0, n_small):
            raise UserError(f"views.n_small={views.n_small}: ssl={method} takes {n_small} small views; leave it out")
        if views.lesion_pairs > 0 and n_large < 2:
            raise UserError(
                f"views.lesion_pairs={views.lesion_pairs}: ssl={method} takes one view, which has no pair; set it to 0"
            )
        self.datamodule, self.pool = datamodule, settings.pool
        kept = {key: value for key, value in views.dump().items() if key != "transform"}
        self.views = {**kept, "n_large": n_large, "n_small": n_small}

    def train_dataloader(self) -> Loader:
        """Return batches of views, this process's share of them."""
        self.datamodule.trainer = self.trainer
        return self.datamodule.pretrain_loader(self.pool, **self.views)

    @property
    def views_per_epoch(self) -> int:
        """Number of views of an epoch, over all processes."""
        n_batches = len(self.datamodule.pretrain_loader(self.pool, **self.views))
        views_of_an_image: int = self.views["n_large"] + self.views["n_small"]
        return n_batches * self.datamodule.batch_size * views_of_an_image


def build_probe(settings: ProbeSettings, datamodule: SkinDataModule, views_per_epoch: int) -> Probe | None:
    """Build the probe on labelled training images; None where there are none, or no probe is wanted.

    Args:
        settings: of the probe.
        datamodule: of the run.
        views_per_epoch: of the pretraining, for the interval ``auto``.

    Raises:
        UserError: they are all of one class, or of one group.
    """
    rows = datamodule.rows("train")
    if settings.every_n_epochs == 0 or rows.empty:
        return None
    target = datamodule.dataset("train", plain=True).targets.numpy()
    chosen = stratified(target, settings.max_images)
    rows, target = rows.iloc[chosen], target[chosen]
    try:
        probe_folds(target, rows["group"])
    except ValueError as error:
        raise UserError(
            f"{error}, here are {quantity(len(rows), 'image')} of {quantity(rows['label'].nunique(), 'class')} and "
            f"{quantity(rows['group'].nunique(), 'group')}; label others, or set probe.every_n_epochs=0"
        ) from None
    dataset = ImageDataset(rows["path"].tolist(), target, size=datamodule.image_size, fit=datamodule.fit)
    every = settings.every_n_epochs
    if every == "auto":
        every = probe_interval(len(rows), views_per_epoch)
        log.info("probe.every_n_epochs=auto: of %d images every %d epochs, and after the last", len(rows), every)
    return Probe(
        dataset,
        rows["group"].tolist(),
        len(datamodule.prepared.classes),
        every_n_epochs=every,
        num_workers=datamodule.num_workers,
    )
