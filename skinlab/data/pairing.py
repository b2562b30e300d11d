"""Pairs of labelled and pool batches: an epoch is one pass over the labelled images, whatever the pool's size."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count, islice
from typing import Any

from torch.utils.data import Sampler

from skinlab.data.dataset import Batch, Loader, batch_loader
from skinlab.data.samplers import Draw, TrainSampler


class EpochlessSampler(Sampler[Draw]):
    """Draws a fixed number of rows an epoch; an epoch continues the pass over the data where the last one has ended.

    The draws depend on the seed and the epoch alone, so that a resumed run draws what an uninterrupted one does, and
    the augmentations of a row differ from pass to pass.

    Args:
        sampler: draws the passes.
        length: draws an epoch.

    Attributes:
        start: draws that the next iteration leaves out, where it goes on with an epoch.

    >>> passes = EpochlessSampler(TrainSampler([0, 0, 0], seed=1), length=2)
    >>> drawn = []
    >>> for epoch in range(3):
    ...     passes.set_epoch(epoch)
    ...     drawn += [(draw.epoch, draw.row) for draw in passes]
    >>> sorted(drawn)
    [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    """

    def __init__(self, sampler: TrainSampler, length: int) -> None:
        self.sampler, self.length, self.epoch, self.start = sampler, length, 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Draw]:
        first, done = divmod(self.epoch * self.length, len(self.sampler))
        draws, start, self.start = chain.from_iterable(self._pass(number) for number in count(first)), self.start, 0
        return islice(draws, done + start, done + self.length)

    def _pass(self, number: int) -> Iterator[Draw]:
        self.sampler.set_epoch(number)
        return iter(self.sampler)


class PairedLoader:
    """Yields labelled batches, each with a pool batch under ``pool``.

    Args:
        labelled: the labelled images' loader.
        pool: the pool's loader, with the batch size and a `TrainSampler`.
        num_workers: processes that load pool images.
    """

    def __init__(self, labelled: Loader, pool: Loader, num_workers: int) -> None:
        n = pool.batch_size or 1
        passes = EpochlessSampler(pool.sampler, n * len(labelled))  # type: ignore[arg-type]
        dataset: Any = pool.dataset
        self.labelled = labelled
        self.pool = batch_loader(dataset, passes, batch_size=n, num_workers=num_workers)

    @property
    def sampler(self) -> PairedLoader:
        """This loader, whose ``set_epoch`` Lightning calls through its sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        for loader in (self.labelled, self.pool):
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]

    def skip(self, batches: int) -> None:
        """Leave out the first batches of the next pass, which goes on with an epoch."""
        for loader in (self.labelled, self.pool):
            loader.skip(batches)

    def __len__(self) -> int:
        return len(self.labelled)

    def __iter__(self) -> Iterator[Batch]:
        for labelled, pool in zip(self.labelled, self.pool, strict=True):
            yield labelled | {"pool": pool}
