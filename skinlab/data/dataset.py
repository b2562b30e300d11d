"""Images as batches of uint8 tensors; a sample's randomness depends on (seed, epoch, row, copy) alone."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import random
import struct
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from skinlab.data.images import read_image
from skinlab.data.samplers import Draw
from skinlab.errors import UserError
from skinlab.processes.workers import (
    LARGER,
    SPARE,
    Watch,
    check_shared_memory,
    count_progress,
    enter_worker,
    has_room,
    lost_worker,
    new_counter,
)

log = logging.getLogger(__name__)

Image = npt.NDArray[np.uint8]
Batch = dict[str, Any]  # tensors, or lists of them


class ImageCache(Protocol):
    """Decoded images by row, used instead of the files."""

    def __getitem__(self, row: int) -> Image: ...


class ImageDataset(Dataset[Batch]):
    """Reads, augments and batches images.

    Args:
        paths: File of each row.
        targets: Class of each row, -1 for none.
        size: Side of the square output in pixels.
        fit: "crop" or "stretch", see `read_image`.
        transform: An albumentations Compose over uint8 RGB images, or None.
        seed: Seed of the run.
        cache: Decoded images to use instead of the files.
        domains: Number of each row's domain, for a loss that weights them; then batches have ``domain`` (B,).
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        targets: Sequence[int] | npt.NDArray[np.int64],
        *,
        size: int,
        fit: str = "crop",
        transform: Any = None,
        seed: int = 0,
        cache: ImageCache | None = None,
        domains: npt.NDArray[np.int64] | None = None,
    ) -> None:
        # One array: a million strings would be copied into every forked worker just by counting references.
        self.paths = np.array([os.fsencode(path) for path in paths])
        self.targets = torch.from_numpy(np.array(targets, dtype=np.int64))
        self.domains = None if domains is None else torch.from_numpy(domains)
        self.size, self.fit, self.transform, self.seed, self.cache = size, fit, transform, seed, cache
        if transform is not None:
            share_generators(transform)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, draw: Draw | int) -> Batch:
        """Return one image (3, S, S) uint8, its target and its row."""
        return {name: value[0] for name, value in self.batch([draw]).items()}

    def __getitems__(self, draws: Sequence[Draw | int]) -> Batch | UserError | OSError:
        """Return a batch, or in a worker the error that `Loader` raises; torch would change an error's message."""
        try:
            return self.batch(draws)
        except (UserError, OSError) as error:
            if get_worker_info() is None:
                raise
            return error

    def batch(self, draws: Sequence[Draw | int]) -> Batch:
        """Return a batch: image (B, 3, S, S) uint8 in channels_last memory, target (B,) and row (B,) int64."""
        visits = [draw if isinstance(draw, Draw) else Draw(draw) for draw in draws]
        images = torch.empty((len(visits), self.size, self.size, 3), dtype=torch.uint8)
        for slot, visit in zip(images.numpy(), visits, strict=True):
            slot[...] = self._sample(visit)
        row = torch.tensor([visit.row for visit in visits])
        batch = {"image": images.permute(0, 3, 1, 2), "target": self.targets[row], "row": row}
        return batch if self.domains is None else batch | {"domain": self.domains[row]}

    def pixels(self, row: int) -> Image:
        """Return an image as read, (S, S, 3)."""
        count_progress()
        if self.cache is not None:
            return self.cache[row]
        return read_image(os.fsdecode(self.paths[row]), self.size, self.fit)

    def _sample(self, visit: Draw) -> Image:
        image = self.pixels(visit.row)
        if self.transform is None:
            return image
        reseed(self.transform, self.seed, visit)
        return np.asarray(self.transform(image=image)["image"], dtype=np.uint8)


def share_generators(transform: Any) -> None:
    """Set one pair of generators for all transforms of an albumentations composition, for `reseed`."""
    transform.set_random_state(np.random.Generator(np.random.PCG64()), random.Random())


def reseed(transform: Any, seed: int, visit: Draw, *view: int) -> None:
    """Seed the generators of an albumentations transform for one visit, or one view of it.

    albumentations 2.0.8 seeds itself once, so that its workers draw the same numbers (albumentations issue 2473).
    """
    digest = hashlib.blake2b(struct.pack(f"<{4 + len(view)}q", seed, *visit, *view), digest_size=32).digest()
    state, increment = (int.from_bytes(half, "little") for half in (digest[:16], digest[16:]))
    # In place: setting new generators in every transform of the composition takes three times as long.
    transform.py_random.seed(state)
    transform.random_generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": state, "inc": increment | 1},  # PCG's increment is odd
        "has_uint32": 0,
        "uinteger": 0,
    }


class Loader(DataLoader[Any]):
    """A DataLoader that reports errors and ends of workers in one line; torch would hang or print a traceback."""

    @property
    def counter(self) -> Any:
        """Return the workers' counter, which a copy of this loader shares."""
        init: Any = self.worker_init_fn
        return init.keywords["counter"]

    def skip(self, batches: int) -> None:
        """Leave out the first batches of the next pass, which goes on with an epoch."""
        self.sampler.start = batches * (self.batch_size or 1)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if not self.num_workers:
            yield from super().__iter__()
            return
        check_shared_memory()
        with Watch(self.counter) as watch:
            try:
                yield from self._batches(watch)
            except (RuntimeError, UserError, OSError) as error:
                if plain := lost_worker(error, stalled=watch.stalled):
                    raise plain from error
                raise

    def _batches(self, watch: Watch) -> Iterator[Batch]:
        """Yield the workers' batches; torch may report a killed worker at any step, even while the others end."""
        try:
            batches = watch.wait_for(super().__iter__)
            while (batch := watch.wait_for(partial(_receive, batches))) is not None:
                if isinstance(batch, UserError | OSError):
                    raise batch
                if isinstance(batch, bytes):
                    _report_pipes()
                    batch = pickle.loads(batch)
                yield batch
        except (RuntimeError, UserError, OSError):
            self._end_workers()
            raise

    def _end_workers(self) -> None:
        """End the workers of a failed pass; without it torch waits 5 s for each when it collects the iterator."""
        iterator: Any = self._iterator
        if iterator is not None:
            iterator._shutdown_workers()
            self._iterator = None


def _receive(batches: Iterator[Any]) -> Any:
    """Return the next batch, None after the last.

    Raises:
        BrokenProcessPool: a worker ended while it passed on a batch, which torch reports later, by a signal.
    """
    try:
        return next(batches, None)
    except (EOFError, ConnectionError) as error:
        raise BrokenProcessPool("a worker ended while it passed on a batch") from error


@functools.cache
def _report_pipes() -> None:
    """Report once that shared memory is too small for all batches."""
    log.warning("shared memory (/dev/shm) is too small for all batches; some are passed on more slowly: %s", LARGER)


def collate(batch: Any) -> Any:
    """Return a batch, which `__getitems__` has made; a worker puts it into shared memory.

    The queue would do that in a thread whose errors are lost, and the parent would wait for ever. A batch that does not
    fit into shared memory becomes bytes, which go through the queue's pipe.
    """
    worker = get_worker_info()
    if worker is None or isinstance(batch, UserError | OSError):
        return batch
    values = [each for value in batch.values() for each in (value if isinstance(value, list) else [value])]
    tensors: list[Any] = [value for value in values if isinstance(value, torch.Tensor)]
    size = sum(tensor.nbytes for tensor in tensors)
    if not has_room(size * worker.num_workers + SPARE):  # the others may be about to take as much
        return pickle.dumps(batch)
    try:
        for tensor in tensors:
            tensor.share_memory_()
    except RuntimeError as error:
        if "shared memory" not in str(error):
            raise
        return pickle.dumps(batch)
    return batch


def init_worker(worker_id: int, counter: Any = None) -> None:
    """Limit a worker to one thread and seed the global generators, for transforms other than albumentations'."""
    enter_worker(counter)
    torch.set_num_threads(1)
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)


def batch_loader(
    dataset: ImageDataset, sampler: Sampler[Any], *, batch_size: int, num_workers: int, drop_last: bool = False
) -> Loader:
    """Build the loader of a dataset that makes whole batches.

    Workers are forked on Linux: a spawned one first imports torch and albumentations for seconds. They use neither CUDA
    nor a thread pool of the parent.

    Args:
        dataset: The images.
        sampler: A `TrainSampler` or `EvalSampler`.
        batch_size: Images per batch.
        num_workers: Processes that load; 0 loads in this one.
        drop_last: Leave out an incomplete last batch.
    """
    cv2.setNumThreads(0)
    fork = "fork" if sys.platform == "linux" else "spawn"
    return Loader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate,
        drop_last=drop_last,
        worker_init_fn=partial(init_worker, counter=new_counter()),
        # Its own generator: drawing the workers' seed from the global one would change the dropout that follows.
        generator=torch.Generator().manual_seed(dataset.seed),
        pin_memory=torch.cuda.is_available(),
        persistent_workers=num_workers > 0,
        multiprocessing_context=fork if num_workers else None,
        prefetch_factor=4 if num_workers else None,
    )
