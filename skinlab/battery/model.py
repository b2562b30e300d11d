"""A model under test: its probabilities for images that are altered on the way to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
import torch

from skinlab.data.images import read_image
from skinlab.inference.bundle import Bundle
from skinlab.inference.ensembling import combine_members
from skinlab.models.prediction import embed, predict_members
from skinlab.processes.cores import thread_pool
from skinlab.processes.progress import counted, track

Image = npt.NDArray[np.uint8]
# From an image (H, W, 3) and its row to the altered image.
Alteration = Callable[[Image, int], Image]

READ_AT = 224  # pixels a side at least: corruptions and artefacts are sized for it
BATCH = 32


@dataclass(frozen=True)
class Model:
    """Predicts images that were read once, as they are or altered.

    Attributes:
        bundle: its networks.
        device: to predict on.
    """

    bundle: Bundle
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def side(self) -> int:
        """Side in pixels at which images are read and altered, before each network's own size."""
        return max(READ_AT, *(member.image_size for member in self.bundle.members))

    def read(self, paths: Sequence[str]) -> Image:
        """Return images ``(N, S, S, 3)``, framed as the first network's are.

        Raises:
            BadImage: one can't be read.
        """
        images = np.empty((len(paths), self.side, self.side, 3), np.uint8)
        with thread_pool() as pool:
            found = pool.map(lambda path: read_image(path, self.side, self.bundle.fit), paths)
            for row, image in enumerate(track(found, "reading images", len(paths))):
                images[row] = image
        return images

    def predict(self, images: Image, alter: Alteration | None = None) -> npt.NDArray[np.float64]:
        """Return probabilities ``(N, C)`` of the bundle's outputs; each image is a unit of the open progress.

        Args:
            images: ``(N, S, S, 3)``.
            alter: applied to each image before it is scaled to a network's size.
        """
        sizes = list(dict.fromkeys(member.image_size for member in self.bundle.members))
        members: dict[int, npt.NDArray[np.float64]] = {}
        for turn, size in enumerate(sizes):
            chosen = [i for i, member in enumerate(self.bundle.members) if member.image_size == size]
            networks = [self.bundle.members[i].classifier.to(self.device) for i in chosen]
            batches = self._batches(images, alter, size, count=turn == 0)
            members |= dict(zip(chosen, predict_members(networks, batches, device=self.device), strict=True))
        return combine_members(self.bundle, np.stack([members[i] for i in range(len(self.bundle.members))]))

    def logits(self, images: Image) -> list[npt.NDArray[np.float64]]:
        """Return the logits of each network ``(N, C)``; each image is a unit of the open progress.

        Args:
            images: ``(N, S, S, 3)``.
        """
        found = []
        for turn, member in enumerate(self.bundle.members):
            batches = self._batches(images, None, member.image_size, count=turn == 0)
            found.append(embed(member.classifier.to(self.device), batches, device=self.device).astype(np.float64))
        return found

    def _batches(
        self, images: Image, alter: Alteration | None, size: int, *, count: bool
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Yield batches of altered images at a network's size, prepared in threads while the network works."""

        def prepare(row: int) -> Image:
            image = images[row] if alter is None else alter(images[row], row)
            return scaled(image, size)

        with thread_pool() as pool:
            rows = range(len(images))
            waiting = [pool.submit(prepare, row) for row in rows[: 2 * BATCH]]
            for start in range(0, len(images), BATCH):
                ready = [each.result() for each in waiting[:BATCH]]
                begun = start + len(waiting)
                waiting = waiting[BATCH:] + [pool.submit(prepare, row) for row in rows[begun : begun + BATCH]]
                batch = torch.from_numpy(np.stack(ready)).permute(0, 3, 1, 2)
                yield {"image": batch}
                if count:
                    for _ in counted(ready):
                        pass


def scaled(image: Image, size: int) -> Image:
    """Return a square image at another size.

    >>> scaled(np.full((4, 4, 3), 7, np.uint8), 2).tolist()[0][0]
    [7, 7, 7]
    """
    if image.shape[0] == size:
        return image
    how = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=how), np.uint8)
