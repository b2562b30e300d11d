"""Batches of images to be predicted, with the reasons why some can't be read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from skinlab.data.audit.fingerprint import IS_MASK, is_mask
from skinlab.data.dataset import ImageDataset, batch_loader
from skinlab.data.images import BadImage, read_image
from skinlab.data.samplers import Draw, EvalSampler
from skinlab.data.training_images import TrainingImages, read_and_hash
from skinlab.inference.gate import FIT as GATE_FIT
from skinlab.inference.gate import SIZE as GATE_SIZE
from skinlab.inference.gate import Gate
from skinlab.processes.progress import track


class InferenceDataset(ImageDataset):
    """Reads images; one that can't be read becomes black, and its batch has the reason under ``bad``: row → reason.

    Args:
        paths: file of each row.
        size: side of the images in pixels.
        fit: ``crop`` or ``stretch``.
        gate: input gate whose statistics of each image are in the batches, as ``statistics`` ``(B, F)``; None for none.
        known: the model's training images; batches then have each image's content hash, ``hash`` ``(B,)`` uint64, 0
            where it can't be one of them; None to leave that out.
        refuse_masks: whether an image that is black and white only counts as one that can't be read.
    """

    def __init__(
        self,
        paths: Sequence[str],
        size: int,
        fit: str,
        *,
        gate: Gate | None = None,
        known: TrainingImages | None = None,
        refuse_masks: bool = False,
    ) -> None:
        super().__init__(paths, np.full(len(paths), -1), size=size, fit=fit)
        self.gate, self.known, self.refuse_masks = gate, known, refuse_masks

    def batch(self, draws: Sequence[Draw | int]) -> dict[str, Any]:
        """Return a batch of uint8 images, with the reasons of those that can't be read."""
        self.bad: dict[int, str] = {}
        self.statistics: list[np.ndarray] = []
        self.hashes: dict[int, int] = {}
        batch = super().batch(draws) | {"bad": self.bad}
        if self.known is not None:
            batch["hash"] = np.array([self.hashes.get(row, 0) for row in batch["row"].tolist()], np.uint64)
        return batch | {"statistics": np.array(self.statistics)} if self.gate else batch

    def pixels(self, row: int) -> Any:
        """Return an image as read, (S, S, 3), and keep its content hash where it may be a known one."""
        if self.known is None:
            return super().pixels(row)
        image, self.hashes[row] = read_and_hash(os.fsdecode(self.paths[row]), self.size, self.fit, self.known)
        return image

    def _sample(self, visit: Draw) -> Any:
        try:
            image = super()._sample(visit)
            path = os.fsdecode(self.paths[visit.row])
            if self.refuse_masks and is_mask(image):
                raise BadImage.at(path, IS_MASK)
            if self.gate:
                self.statistics.append(self.gate.statistics(read_image(path, GATE_SIZE, GATE_FIT)))
        except BadImage as error:
            self.bad[visit.row] = error.reason
            if self.gate:
                self.statistics.append(np.zeros(len(self.gate.mean)))
            return np.zeros((self.size, self.size, 3), np.uint8)
        return image


def load_batches(
    images: InferenceDataset, title: str, *, batch_size: int, num_workers: int
) -> Iterable[dict[str, Any]]:
    """Return the batches of all images in order, with their progress.

    Args:
        images: to be loaded.
        title: of the progress bar.
        batch_size: images of a batch.
        num_workers: loading processes at most; a few images take fewer.
    """
    n = len(images.paths)
    workers = min(num_workers, -(-n // batch_size))
    loader = batch_loader(images, EvalSampler(n), batch_size=batch_size, num_workers=workers)
    return track(loader, title, len(loader))
