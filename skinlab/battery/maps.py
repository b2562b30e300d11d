"""Grad-CAM of the networks under test: how much of it is inside the lesion, and pictures of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from skinlab.alterations.segmentation import Mask
from skinlab.battery.bench import ImageSet
from skinlab.battery.model import BATCH, Image, scaled
from skinlab.inference.member import Member
from skinlab.inference.overlays import overlay
from skinlab.inference.saliency import gradcam
from skinlab.processes.progress import counted

Floats = npt.NDArray[np.float64]


def shares_inside(images: ImageSet, masks: Sequence[Mask], rows: Sequence[int]) -> Floats:
    """Return the share of the maps that is inside the lesion, ``(n,)``, a mean over the networks; NaN of empty maps.

    Args:
        images: N; each of the rows is a unit of the open progress.
        masks: of the N lesions, ``(S, S)``.
        rows: n of them.

    Raises:
        UserError: a network has no feature maps.
    """
    found = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        found.append(np.mean([_inside(images, member, masks, part) for member in images.model.bundle.members], axis=0))
        for _ in counted(part):
            pass
    return np.concatenate(found)


def map_picture(images: ImageSet, row: int) -> Image:
    """Return an image with the first network's map on it, at the network's size."""
    member = images.model.bundle.members[0]
    return overlay(scaled(images.pixels[row], member.image_size), _maps(images, member, [row])[0])


def _inside(images: ImageSet, member: Member, masks: Sequence[Mask], rows: Sequence[int]) -> Floats:
    maps = _maps(images, member, rows)
    sizes = maps.sum((1, 2))
    at_size = np.stack([scaled(masks[row].astype(np.uint8), member.image_size) for row in rows])
    inside = (maps * at_size).sum((1, 2))
    return np.asarray(np.divide(inside, sizes, out=np.full(len(rows), np.nan), where=sizes > 0))


def _maps(images: ImageSet, member: Member, rows: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return a network's maps ``(n, S, S)`` of the class that is most probable to it; the network is in eval mode."""
    pixels = np.stack([scaled(images.pixels[row], member.image_size) for row in rows])
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    network = member.classifier.to(images.model.device)
    with torch.inference_mode():
        classes = network(batch.to(images.model.device)).argmax(1).tolist()
    return gradcam(network, batch, classes)
