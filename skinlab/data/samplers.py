"""Samplers: the rows of an epoch, their order and process depend on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from skinlab.errors import UserError


class Draw(NamedTuple):
    """A draw of a row; with the seed it determines the sample's augmentation.

    Attributes:
        row: Row of the data set.
        epoch: Epoch of the draw.
        copy: Number of earlier draws of the row in this epoch, so that each has another augmentation.
    """

    row: int
    epoch: int = 0
    copy: int = 0


def class_prior(counts: Sequence[int] | npt.NDArray[np.int64], power: float) -> npt.NDArray[np.float64]:
    """Return the expected class proportions of a sampler, the prior of a training.

    Args:
        counts: Images per class, (C,).
        power: Of the sampler: 0 keeps the natural proportions, 1 balances the classes that have images.

    >>> class_prior([90, 10, 0], power=1).tolist()
    [0.5, 0.5, 0.0]
    >>> class_prior([90, 10, 0], power=0).tolist()
    [0.9, 0.1, 0.0]
    """
    counted = np.asarray(counts, dtype=np.float64)
    weight = np.where(counted > 0, np.maximum(counted, 1.0) ** (1.0 - power), 0.0)
    return np.asarray(weight / weight.sum(), dtype=np.float64)


def draw_shares(
    labels: npt.NDArray[np.int64], power: float, sources: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.float64]:
    """Return the probability of each row, (N,), in a draw of a `TrainSampler`.

    Args:
        labels: Class of each row, (N,).
        power: See `class_prior`.
        sources: Source of each row, (N,), to draw every source equally often, and its classes by `power`; None to draw
            the classes of all rows by `power`.

    >>> draw_shares(np.array([0, 0, 0, 1, 1]), power=1, sources=np.array([0, 0, 0, 0, 1])).round(3).tolist()
    [0.083, 0.083, 0.083, 0.25, 0.5]
    """
    shares, whole = np.zeros(len(labels)), np.zeros(len(labels), np.int64)
    groups = whole if sources is None else sources
    for group in np.unique(groups):
        inside = groups == group
        counts = np.bincount(labels[inside])
        shares[inside] = (class_prior(counts, power) / np.maximum(counts, 1))[labels[inside]]
    return np.asarray(shares / shares.sum(), dtype=np.float64)


class TrainSampler(Sampler[Draw]):
    """Draws an epoch of training rows: each row once, or with replacement by the weights of classes and sources.

    Every process computes the same list from (seed, epoch) and takes every `world_size`-th draw of it. The remainder
    (fewer than `world_size` draws, others each epoch) is left out, so that all processes make the same number of steps
    without repeated rows.

    Args:
        labels: Class of each row, (N,); any constant if there are no labels and `power` is 0.
        power: 0 draws every row once; p in (0, 1] draws N rows with class probability proportional to
            count ** (1 - p), so that 1 balances the classes.
        sources: Source of each row, (N,), to draw each equally often; see `draw_shares`.
        seed: Seed of the run.
        rank: Number of this process.
        world_size: Number of processes.

    Attributes:
        start: This process's draws that the next iteration leaves out, where it goes on with an epoch.

    Raises:
        UserError: If a row to be balanced has no label, or processes outnumber rows.
    """

    def __init__(
        self,
        labels: Sequence[int] | npt.NDArray[np.int64],
        *,
        power: float = 0.0,
        sources: npt.NDArray[np.int64] | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.labels = np.asarray(labels, dtype=np.int64)
        weighted = power > 0 or sources is not None
        if weighted and (self.labels < 0).any():
            raise UserError("a weighted sampler needs a label for every training image: set sampler=none")
        if len(self.labels) < world_size:
            raise UserError(
                f"{len(self.labels)} training images cannot be shared among {world_size} processes: "
                "set trainer.devices lower or add images"
            )
        self.shares = draw_shares(self.labels, power, sources) if weighted else None
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.epoch = self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; Lightning calls this before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.labels) // self.world_size

    def __iter__(self) -> Iterator[Draw]:
        rows, start, self.start = self._epoch_rows(), self.start, 0
        mine = slice(self.rank + start * self.world_size, len(self) * self.world_size, self.world_size)
        copies = _earlier_occurrences(rows)
        for row, copy in zip(rows[mine].tolist(), copies[mine].tolist(), strict=True):
            yield Draw(row, self.epoch, copy)

    def _epoch_rows(self) -> npt.NDArray[np.int64]:
        generator = np.random.default_rng([self.seed, self.epoch])
        n = len(self.labels)
        return generator.permutation(n) if self.shares is None else generator.choice(n, size=n, p=self.shares)


class EvalSampler(Sampler[int]):
    """Iterates over this process's share of the rows in order; the shares of all processes have each row once.

    >>> [list(EvalSampler(5, rank=rank, world_size=2)) for rank in range(2)]
    [[0, 2, 4], [1, 3]]
    """

    def __init__(self, n: int, rank: int = 0, world_size: int = 1) -> None:
        self.rows = range(rank, n, world_size)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows)


def _earlier_occurrences(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count, for each entry, the equal entries before it: [7, 3, 7, 7] becomes [0, 0, 1, 2]."""
    order = np.argsort(rows, kind="stable")
    grouped = rows[order]
    starts = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    lengths = np.diff(np.r_[starts, len(rows)])
    earlier = np.empty_like(rows)
    earlier[order] = np.arange(len(rows)) - np.repeat(starts, lengths)
    return earlier
