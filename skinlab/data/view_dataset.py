"""Several views of each image as one batch; a view's randomness depends on (seed, epoch, row, copy, view) alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skinlab.data.dataset import Batch, Image, ImageCache, ImageDataset, reseed, share_generators
from skinlab.data.samplers import Draw

Ints = npt.NDArray[np.int64]


class ViewDataset(ImageDataset):
    """Reads images and makes several augmented views of each.

    Args:
        paths: File of each row.
        transforms: An albumentations Compose for each view, which determines the size of the view.
        size: Side in pixels at which images are read, before they are cropped.
        fit: "crop" or "stretch", see `read_image`.
        seed: Seed of the run.
        cache: Decoded images of that size to use instead of the files.
        names: Keys of the views in a batch; by default they are a list under "views".
        groups: Group of each row as a number, (N,), for `lesion_pairs`.
        lesion_pairs: Probability that the second view is of another image of the row's group, if there is one: the
            positive pairs of MICLe (Azizi et al. 2021, arXiv 2101.05224).
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        transforms: Sequence[Any],
        *,
        size: int,
        fit: str = "crop",
        seed: int = 0,
        cache: ImageCache | None = None,
        names: Sequence[str] = (),
        groups: Ints | None = None,
        lesion_pairs: float = 0.0,
    ) -> None:
        super().__init__(paths, np.full(len(paths), -1), size=size, fit=fit, seed=seed, cache=cache)
        self.transforms, self.names, self.lesion_pairs = list(transforms), tuple(names), lesion_pairs
        for transform in self.transforms:
            share_generators(transform)
        self.groups = np.arange(len(paths)) if groups is None else np.asarray(groups, dtype=np.int64)
        self._by_group = np.argsort(self.groups, kind="stable")
        self._sorted_groups = self.groups[self._by_group]

    def __getitem__(self, draw: Draw | int) -> Batch:
        """Return a batch of one."""
        return self.batch([draw])

    def batch(self, draws: Sequence[Draw | int]) -> Batch:
        """Return a batch: each view (B, 3, S, S) uint8 in channels_last memory, and row (B,) int64."""
        visits = [draw if isinstance(draw, Draw) else Draw(draw) for draw in draws]
        by_view = zip(*map(self._views, visits), strict=True)
        views = [torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) for images in by_view]
        named = dict(zip(self.names, views, strict=True)) if self.names else {"views": views}
        return named | {"row": torch.tensor([visit.row for visit in visits])}

    def _views(self, visit: Draw) -> list[Image]:
        image, views = self.pixels(visit.row), []
        for number, transform in enumerate(self.transforms):
            reseed(transform, self.seed, visit, number)
            shown = image
            if number == 1 and self.lesion_pairs and transform.py_random.random() < self.lesion_pairs:
                other = self._other_of_group(visit.row, transform.py_random)
                shown = image if other == visit.row else self.pixels(other)
            views.append(np.asarray(transform(image=shown)["image"], dtype=np.uint8))
        return views

    def _other_of_group(self, row: int, draw: random.Random) -> int:
        """Draw another row of the same group; the row itself if the group has no other."""
        start, stop = np.searchsorted(self._sorted_groups, [self.groups[row], self.groups[row] + 1])
        others = self._by_group[start:stop]
        others = others[others != row]
        return int(draw.choice(others)) if len(others) else row
