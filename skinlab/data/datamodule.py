"""The LightningDataModule: a prepared manifest as training, validation and test loaders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from skinlab.data.cache import CachedImages, open_cache
from skinlab.data.dataset import Batch, ImageDataset, batch_loader
from skinlab.data.preparation import Prepared, prepare
from skinlab.data.samplers import EvalSampler, TrainSampler, class_prior
from skinlab.errors import UserError, nearest


class SkinDataModule(pl.LightningDataModule):
    """Serves one fold of any data set.

    Args:
        reader: returns the manifest.
        image_size: side of the square images in pixels.
        fit: ``crop`` (shorter side to size, centre crop) or ``stretch``.
        batch_size: images a step and process.
        num_workers: loading processes; ``auto`` leaves a core to the training, 0 loads in the main process.
        cache: decoded images kept in ``ram``, on ``disk``, or ``none``.
        cache_dir: where ``disk`` and the audit's memory lie.
        power: the sampler's; 0 natural, 1 balanced.
        transform: makes the augmentation for a size, such as :func:`skinlab.data.transforms.heavy`.
        seed: the run's.
        **preparation: see :func:`skinlab.data.preparation.prepare`.
    """

    def __init__(
        self,
        reader: Callable[[], pd.DataFrame],
        *,
        image_size: int,
        fit: str = "crop",
        batch_size: int = 32,
        num_workers: int | str = "auto",
        cache: str = "none",
        cache_dir: str | Path | None = None,
        power: float = 0.0,
        transform: Callable[[int], Any] | None = None,
        seed: int = 0,
        **preparation: Any,
    ) -> None:
        super().__init__()
        for name, value in (("image_size", image_size), ("batch_size", batch_size)):
            if value < 1:
                raise UserError(f"data.{name}={value}: must be at least 1")
        if cache not in ("none", "ram", "disk"):
            raise UserError(f"data.cache={cache}: choose none, ram or disk{nearest(cache, ['none', 'ram', 'disk'])}")
        self.reader, self.preparation = reader, preparation
        self.image_size, self.fit, self.batch_size, self.seed = image_size, fit, batch_size, seed
        self.num_workers = loading_processes(num_workers)
        self.cache, self.cache_dir = cache, cache_dir
        self.power, self.transform = power, transform
        self._prepared: Prepared | None = None
        self._cache: CachedImages | None = None
        self._datasets: dict[str, ImageDataset] = {}

    @property
    def prepared(self) -> Prepared:
        """The audited and split data; read on first use."""
        if self._prepared is None:
            self._prepared = prepare(
                self.reader, audit_cache=self.cache_dir, num_workers=os.cpu_count() or 1, **self.preparation
            )
        return self._prepared

    def rows(self, split: str) -> pd.DataFrame:
        """Return the manifest's rows of a split, numbered as its loader's ``row``."""
        manifest = self.prepared.manifest
        return manifest[manifest["split"] == split].reset_index(drop=True)

    def class_counts(self, split: str = "train") -> list[int]:
        """Return the images of each class, in class order."""
        return self.rows(split)["label"].value_counts().reindex(self.prepared.classes, fill_value=0).tolist()

    def training_prior(self) -> list[float]:
        """Return the share of each class among the training batches."""
        return [float(share) for share in class_prior(np.array(self.class_counts()), self.power)]

    def dataset(self, split: str) -> ImageDataset:
        """Return the images of a split; only ``train`` is augmented."""
        if split not in self._datasets:
            rows = self.rows(split)
            number = {name: i for i, name in enumerate(self.prepared.classes)}
            self._datasets[split] = ImageDataset(
                rows["path"].tolist(),
                rows["label"].map(number).fillna(-1).to_numpy().astype(np.int64),
                size=self.image_size,
                fit=self.fit,
                transform=self.transform(self.image_size) if split == "train" and self.transform else None,
                seed=self.seed,
                cache=self._cached(split),
            )
        return self._datasets[split]

    def _cached(self, split: str) -> CachedImages | None:
        """Return the decoded images of a split, part of one cache that all folds and runs on these images share."""
        if self.cache == "none":
            return None
        manifest = self.prepared.manifest
        rows = manifest[manifest["split"].isin(["train", "val", "test"])]
        if self._cache is None:
            self._cache = open_cache(
                rows["path"].tolist(), size=self.image_size, fit=self.fit, kind=self.cache, directory=self.cache_dir
            )
        return None if self._cache is None else self._cache.select(np.flatnonzero(rows["split"] == split))

    def setup(self, stage: str) -> None:
        """Read the data and refuse an empty training or validation part."""
        for split in ("train", "val"):
            if stage == "fit" and not len(self.rows(split)):
                raise UserError(f"the split has no {split} rows; check data.fold, data.n_folds and the split column")

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return augmented training batches, an incomplete last one left out unless it is the only one."""
        dataset = self.dataset("train")
        sampler = TrainSampler(dataset.targets.numpy(), power=self.power, seed=self.seed, **self._share())
        return self._loader(dataset, sampler, drop_last=len(sampler) >= self.batch_size)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return validation batches, this process's share of them."""
        dataset = self.dataset("val")
        return self._loader(dataset, EvalSampler(len(dataset), **self._share()))

    def inference_loader(self, split: str) -> DataLoader[Batch]:
        """Return all rows of a split in order, for the one process that writes predictions."""
        dataset = self.dataset(split)
        return self._loader(dataset, EvalSampler(len(dataset)))

    def _share(self) -> dict[str, int]:
        if self.trainer is None:
            return {}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def _loader(self, dataset: ImageDataset, sampler: Any, drop_last: bool = False) -> DataLoader[Batch]:
        return batch_loader(
            dataset, sampler, batch_size=self.batch_size, num_workers=self.num_workers, drop_last=drop_last
        )


def loading_processes(requested: int | str) -> int:
    """Turn ``auto`` into a number of loading processes.

    Raises:
        UserError: neither ``auto`` nor a number of at least 0.
    """
    if requested == "auto":
        return min(max((os.cpu_count() or 1) - 1, 1), 8)
    if not isinstance(requested, int) or requested < 0:
        raise UserError(f"data.num_workers={requested}: give auto or a number of processes, 0 or more")
    return requested
