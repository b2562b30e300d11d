"""Labelled and pool batches in step: an epoch is one pass over the labelled images, whatever the pool's size."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count, islice
from typing import Any

from torch.utils.data import DataLoader, Sampler

from skinlab.data.dataset import Batch, batch_loader
from skinlab.data.samplers import Draw, TrainSampler


class Passes(Sampler[Draw]):
    """Draws equally many rows each epoch out of one pass after the other: no row comes again before all others came.

    Which ones is a function of the seed and the epoch, so that a resumed run draws what an uninterrupted one does, and
    their augmentations differ from pass to pass.

    Args:
        one: draws a pass.
        length: draws an epoch.

    >>> passes = Passes(TrainSampler([0, 0, 0], seed=1), length=2)
    >>> drawn = []
    >>> for epoch in range(3):
    ...     passes.set_epoch(epoch)
    ...     drawn += [(draw.epoch, draw.row) for draw in passes]
    >>> sorted(drawn)
    [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    """

    def __init__(self, one: TrainSampler, length: int) -> None:
        self.one, self.length, self.epoch = one, length, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Draw]:
        first, done = divmod(self.epoch * self.length, len(self.one))
        draws = chain.from_iterable(self._pass(number) for number in count(first))
        return islice(draws, done, done + self.length)

    def _pass(self, number: int) -> Iterator[Draw]:
        self.one.set_epoch(number)
        return iter(self.one)


class PairedLoader:
    """Yields labelled batches, each with a batch of the pool's under ``pool``.

    Args:
        labelled: the labelled images' loader.
        pool: the pool's, of the batches wanted; its `TrainSampler` says what a pass is.
        num_workers: processes that load pool images.
    """

    def __init__(self, labelled: DataLoader[Batch], pool: DataLoader[Batch], num_workers: int) -> None:
        n = pool.batch_size or 1
        passes = Passes(pool.sampler, n * len(labelled))  # type: ignore[arg-type]
        dataset: Any = pool.dataset
        self.labelled = labelled
        self.pool = batch_loader(dataset, passes, batch_size=n, num_workers=num_workers)

    @property
    def sampler(self) -> PairedLoader:
        """Where Lightning looks for ``set_epoch``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        for loader in (self.labelled, self.pool):
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.labelled)

    def __iter__(self) -> Iterator[Batch]:
        for labelled, pool in zip(self.labelled, self.pool, strict=True):
            yield labelled | {"pool": pool}
