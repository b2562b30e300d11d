"""The LightningDataModule: loaders of a prepared manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

from skinlab.data.cache import CachedImages, open_cache
from skinlab.data.dataset import ImageDataset, Loader, batch_loader
from skinlab.data.pairing import PairedLoader
from skinlab.data.pool import UNLABELED, pretraining_rows
from skinlab.data.preparation import Prepared, prepare, read_class_names
from skinlab.data.samplers import EvalSampler, TrainSampler, draw_shares
from skinlab.data.transforms import heavy, light
from skinlab.data.view_dataset import ViewDataset
from skinlab.errors import UserError
from skinlab.processes.cores import available_cores

Transform = Callable[..., Any]


class SkinDataModule(pl.LightningDataModule):
    """Loaders of one fold of a data set.

    Args:
        reader: returns the manifest.
        image_size: side of the square images in pixels.
        fit: ``crop`` (shorter side to size, centre crop) or ``stretch``.
        batch_size: images a step and process.
        num_workers: loading processes; ``auto`` leaves a core to the training, 0 loads in the main process.
        cache: decoded images kept in ``ram``, on ``disk``, or ``none``.
        cache_dir: folder of the caches of images on ``disk`` and of the audit.
        power: the sampler's; 0 natural, 1 balanced.
        by_source: whether the sampler draws each source equally often, and its classes by ``power``.
        domain: column of the manifest whose values' numbers are in the training batches as ``domain``; None for none.
        transform: makes the augmentation for a size, such as :func:`skinlab.data.transforms.heavy`.
        seed: the run's.
        pool_ratio: pool images for each labelled one of a training batch, see `pool_loader`; 0 leaves them out.
        weak: see `pool_loader`.
        strong: see `pool_loader`.
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
        by_source: bool = False,
        domain: str | None = None,
        transform: Transform | None = None,
        seed: int = 0,
        pool_ratio: int = 0,
        weak: Transform = light,
        strong: Transform = heavy,
        **preparation: Any,
    ) -> None:
        super().__init__()
        self.reader, self.preparation = reader, preparation
        self.image_size, self.fit, self.batch_size, self.seed = image_size, fit, batch_size, seed
        self.num_workers = loading_processes(num_workers)
        self.cache, self.cache_dir = cache, cache_dir
        self.power, self.by_source, self.domain, self.transform = power, by_source, domain, transform
        self.pool_ratio, self.weak, self.strong = pool_ratio, weak, strong
        self._prepared: Prepared | None = None
        self._caches: dict[tuple[int, bool], CachedImages | None] = {}
        self._hidden: Tensor | None = None
        self._datasets: dict[tuple[str, bool], ImageDataset] = {}

    @property
    def prepared(self) -> Prepared:
        """The audited and split data, read on first use unless they are set."""
        if self._prepared is None:
            self._prepared = prepare(
                self.reader, audit_cache=self.cache_dir, num_workers=available_cores(), **self.preparation
            )
        return self._prepared

    @prepared.setter
    def prepared(self, prepared: Prepared) -> None:
        self._prepared = prepared

    def class_names(self) -> list[str]:
        """Return the names of the classes, which are known before the images are audited."""
        given = self.preparation.get("classes"), self.preparation.get("label_map")
        return self._prepared.classes if self._prepared else read_class_names(self.reader, *given)

    def rows(self, split: str) -> pd.DataFrame:
        """Return the manifest's rows of a split, numbered as its loader's ``row``."""
        manifest = self.prepared.manifest
        return manifest[manifest["split"] == split].reset_index(drop=True)

    def class_counts(self, split: str = "train") -> list[int]:
        """Return the images of each class, in class order."""
        return self.rows(split)["label"].value_counts().reindex(self.prepared.classes, fill_value=0).tolist()

    def training_prior(self) -> list[float]:
        """Return the share of each class among the training batches."""
        labels = self._numbers(self.rows("train")["label"])
        shares = draw_shares(labels, self.power, self._sources())
        return [float(share) for share in np.bincount(labels, shares, minlength=len(self.prepared.classes))]

    def _sources(self) -> npt.NDArray[np.int64] | None:
        """Return the number of each training image's source, None where the sampler does not need it."""
        return self._domains("source", "sampler=source") if self.by_source else None

    def _loss_domains(self, split: str = "train") -> npt.NDArray[np.int64] | None:
        return self._domains(self.domain, f"loss.domain={self.domain}", split) if self.domain else None

    def _domains(self, column: str, setting: str, split: str = "train") -> npt.NDArray[np.int64]:
        """Return the number of each image's value in a column of the manifest; one more for values not in training.

        Raises:
            UserError: there is no such column, or the images have one value in common, or none.
        """
        rows = self.rows("train")
        if column not in rows:
            raise UserError(f"{setting}: the data has no such column; it has {', '.join(rows.columns)}")
        numbers, names = pd.factorize(rows[column].fillna(""))
        if len(names) < 2:
            found = f"all training images have the {column} {names[0]}" if names[0] else f"no image has a {column}"
            raise UserError(
                f"{setting}: {found}; use another sampler or loss, or another column: data=table data.columns.source="
            )
        if split != "train":
            numbers = pd.Index(names).get_indexer(pd.Index(self.rows(split)[column].fillna("")))
            numbers[numbers < 0] = len(names)
        return numbers.astype(np.int64)

    def group_counts(self) -> list[int]:
        """Return the training images of each domain and class, domain by domain; nothing without a domain."""
        domains, n_classes = self._loss_domains(), len(self.prepared.classes)
        if domains is None:
            return []
        groups = domains * n_classes + self._numbers(self.rows("train")["label"])
        return [int(n) for n in np.bincount(groups, minlength=n_classes * (int(domains.max()) + 1))]

    def dataset(self, split: str, *, plain: bool = False) -> ImageDataset:
        """Return the images of a split; only ``train`` is augmented, and not if `plain`."""
        augmented = split == "train" and not plain
        if (split, augmented) not in self._datasets:
            rows = self.rows(split)
            self._datasets[split, augmented] = ImageDataset(
                rows["path"].tolist(),
                self._numbers(rows["label"]),
                size=self.image_size,
                fit=self.fit,
                transform=self.transform(self.image_size) if augmented and self.transform else None,
                seed=self.seed,
                cache=self._cached(rows, self.image_size, whole=split == "pool"),
                domains=self._loss_domains(split) if augmented or split == "val" else None,
            )
        return self._datasets[split, augmented]

    def _numbers(self, labels: pd.Series[str]) -> npt.NDArray[np.int64]:
        """Return the class numbers of labels, -1 for none."""
        return pd.Index(self.prepared.classes).get_indexer(pd.Index(labels)).astype(np.int64)

    def _cached(self, rows: pd.DataFrame, size: int, *, whole: bool) -> CachedImages | None:
        """Return decoded images from a cache of all images (`whole`), or of those with a label, also a hidden one."""
        if self.cache == "none":
            return None
        held = self.prepared.manifest
        if not whole:
            labelled = held["split"].isin(["train", "val", "test"])
            held = held[labelled | (held["hidden_label"] != "" if "hidden_label" in held else False)]
        if (size, whole) not in self._caches:
            self._caches[size, whole] = open_cache(
                held["path"].tolist(), size=size, fit=self.fit, kind=self.cache, directory=self.cache_dir
            )
        cache = self._caches[size, whole]
        return (
            None if cache is None else cache.select(pd.Index(held["image_id"]).get_indexer(pd.Index(rows["image_id"])))
        )

    def pool_rows(self, pool: str = "all") -> pd.DataFrame:
        """Return the rows that pretraining uses, numbered as its loader's ``row``.

        Args:
            pool: ``all`` (training and pool), ``pool`` or ``train``; see :func:`skinlab.data.pool.pretraining_rows`.

        Raises:
            UserError: there is no such row.
        """
        manifest = self.prepared.manifest
        return manifest[pretraining_rows(manifest, self.prepared.copies, pool)].reset_index(drop=True)

    def pretrain_loader(
        self,
        pool: str = "all",
        *,
        n_large: int = 2,
        n_small: int = 0,
        small_size: int = 96,
        small_scale: tuple[float, float] = (0.05, 0.4),
        lesion_pairs: float = 0.0,
    ) -> Loader:
        """Return batches of views for pretraining: ``views``, first those of the working size, and ``row``.

        Args:
            pool: rows, see `pool_rows`.
            n_large: views of the working size.
            n_small: further views of a smaller size (multi-crop, Caron et al. 2020, arXiv 2006.09882).
            small_size: their side in pixels.
            small_scale: smallest and largest share of the image's area in a small view.
            lesion_pairs: probability that the second view is of another image of the same group.

        Raises:
            UserError: there is no augmentation, or no full batch of images.
        """
        if self.transform is None:
            raise UserError("pretraining needs views: set views=ssl_derm or views=ssl_default")
        rows = self.pool_rows(pool)
        transforms = [self.transform(self.image_size)] * n_large
        if n_small:
            try:
                transforms += [self.transform(small_size, scale=small_scale)] * n_small
            except TypeError:
                raise UserError(
                    "views.transform makes no small views: set views=ssl_derm or views=ssl_default"
                ) from None
        # Crops of a larger picture keep their detail; 8 to 7 is ImageNet's 256 to 224.
        size = round(self.image_size * 8 / 7)
        dataset = ViewDataset(
            rows["path"].tolist(),
            transforms,
            size=size,
            fit=self.fit,
            seed=self.seed,
            cache=self._cached(rows, size, whole=True),
            groups=pd.factorize(rows["group"])[0],
            lesion_pairs=lesion_pairs,
        )
        return self._view_loader(dataset, self.batch_size, f"pool={pool}")

    def pool_loader(self, ratio: int = 1, *, weak: Transform = light, strong: Transform = heavy) -> Loader:
        """Return batches of pool images for semi-supervision: ``weak``, ``strong``, ``row`` of ``pool_rows``.

        Args:
            ratio: pool images for each labelled one in a step.
            weak: makes the augmentation of the views for targets.
            strong: makes the augmentation of the views for training.

        Raises:
            UserError: the pool is empty, or smaller than a batch.
        """
        rows = self.pool_rows(UNLABELED)
        dataset = ViewDataset(
            rows["path"].tolist(),
            [weak(self.image_size), strong(self.image_size)],
            size=self.image_size,
            fit=self.fit,
            seed=self.seed,
            cache=self._cached(rows, self.image_size, whole=True),
            names=("weak", "strong"),
        )
        return self._view_loader(dataset, ratio * self.batch_size, "the pool")

    def hidden_targets(self, rows: Tensor) -> Tensor:
        """Return the hidden class numbers of `pool_loader`'s rows, -1 where there is no hidden label."""
        if self._hidden is None:
            pool = self.pool_rows(UNLABELED)
            hidden = self._numbers(pool["hidden_label"]) if "hidden_label" in pool else np.full(len(pool), -1)
            self._hidden = torch.from_numpy(hidden)
        return self._hidden[rows.cpu()].to(rows.device)

    def _view_loader(self, dataset: ViewDataset, batch_size: int, what: str) -> Loader:
        sampler = TrainSampler(np.zeros(len(dataset), np.int64), seed=self.seed, **self._share())
        if len(sampler) < batch_size:
            raise UserError(
                f"{what}: {len(sampler)} images a process are less than a batch of {batch_size}: lower data.batch_size"
            )
        return batch_loader(dataset, sampler, batch_size=batch_size, num_workers=self.num_workers, drop_last=True)

    def setup(self, stage: str) -> None:
        """Read the data and refuse an empty training or validation part."""
        for split in ("train", "val"):
            if stage == "fit" and not len(self.rows(split)):
                raise UserError(f"the split has no {split} rows; check data.fold, data.n_folds and the split column")

    def train_dataloader(self) -> Loader | PairedLoader:
        """Return augmented training batches, an incomplete last one left out unless it is the only one."""
        dataset = self.dataset("train")
        targets, sources = dataset.targets.numpy(), self._sources()
        sampler = TrainSampler(targets, power=self.power, sources=sources, seed=self.seed, **self._share())
        loader = self._loader(dataset, sampler, drop_last=len(sampler) >= self.batch_size)
        if not self.pool_ratio:
            return loader
        pool = self.pool_loader(self.pool_ratio, weak=self.weak, strong=self.strong)
        return PairedLoader(loader, pool, self.num_workers)

    def val_dataloader(self) -> Loader:
        """Return validation batches, this process's share of them."""
        dataset = self.dataset("val")
        return self._loader(dataset, EvalSampler(len(dataset), **self._share()))

    def inference_loader(self, split: str) -> Loader:
        """Return all rows of a split in order without augmentation, for the process that writes predictions."""
        dataset = self.dataset(split, plain=True)
        return self._loader(dataset, EvalSampler(len(dataset)))

    def _share(self) -> dict[str, Any]:
        if self.trainer is None:
            return {}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def _loader(self, dataset: ImageDataset, sampler: Any, drop_last: bool = False) -> Loader:
        return batch_loader(
            dataset, sampler, batch_size=self.batch_size, num_workers=self.num_workers, drop_last=drop_last
        )


def loading_processes(requested: int | str) -> int:
    """Return the number of loading processes, for ``auto`` by the available cores."""
    return requested if isinstance(requested, int) else min(max(available_cores() - 1, 1), 8)
