"""Where the lesion is in each image: from the data's masks, else by a simple segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skinlab.alterations.segmentation import Mask, lesion_mask
from skinlab.battery.bench import ImageSet
from skinlab.battery.probe import NotRunError
from skinlab.data.images import read_image
from skinlab.inference.run_tables import check_files
from skinlab.processes.cores import thread_pool
from skinlab.text import quantity


@dataclass(frozen=True)
class Lesions:
    """The masks of N images.

    Attributes:
        masks: ``(S, S)`` of each image, framed as it is; None where there is none.
        n_from_data: how many are the data's.
        n_segmented: how many are segmented.
    """

    masks: Sequence[Mask | None]
    n_from_data: int
    n_segmented: int

    def in_words(self) -> str:
        """Return where the masks come from."""
        n_none = len(self.masks) - self.n_from_data - self.n_segmented
        parts = [
            f"{quantity(self.n_from_data, 'mask')} of the data" if self.n_from_data else "",
            f"{self.n_segmented} by a simple segmentation (Otsu's threshold), whose edges are rough"
            if self.n_segmented
            else "",
            f"{quantity(n_none, 'image')} without one, left out" if n_none else "",
        ]
        return f"Lesions: {'; '.join(filter(None, parts))}."


def check_lesions(images: ImageSet, setting: str, *, segment: bool) -> None:
    """Check that there are masks, or that the images may be segmented.

    Args:
        images: to be probed.
        setting: that forbids segmentation, for the message.
        segment: whether images without a mask may be segmented.

    Raises:
        NotRunError: there are no masks.
        UserError: files of masks are missing.
    """
    masks = _mask_paths(images)
    if not segment and not any(masks):
        raise NotRunError(f"the images have no masks (column mask_path) and {setting}=false: set {setting}=true")
    check_files([path for path in masks if path], f"the masks of {images.name}")


def find_lesions(images: ImageSet, *, segment: bool) -> Lesions:
    """Return the lesions of images.

    Args:
        images: N.
        segment: whether those without a mask are segmented.
    """
    side, fit = images.model.side, images.model.bundle.fit

    def find(row: int, path: str) -> Mask | None:
        if path:
            mask = read_image(path, side, fit)[..., 0] > 127
            return mask if mask.any() else None
        return lesion_mask(images.pixels[row]) if segment else None

    paths = _mask_paths(images)
    with thread_pool() as pool:
        masks = list(pool.map(find, range(len(paths)), paths))
    found = np.array([mask is not None for mask in masks])
    given = np.array([bool(path) for path in paths])
    return Lesions(masks, int((found & given).sum()), int((found & ~given).sum()))


def _mask_paths(images: ImageSet) -> list[str]:
    """Return the file of each image's mask, "" without one."""
    rows = images.rows
    return rows["mask_path"].fillna("").tolist() if "mask_path" in rows else [""] * len(rows)
