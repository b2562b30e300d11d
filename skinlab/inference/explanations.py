"""Grad-CAM of any images by all networks of a model, and the pictures of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from skinlab.data.images import read_image
from skinlab.errors import UserError
from skinlab.files import replacing
from skinlab.inference.bundle import Bundle
from skinlab.inference.overlays import LARGE, explained, jpeg
from skinlab.inference.saliency import feature_stage, gradcam, token_layer
from skinlab.processes.progress import track
from skinlab.text import quantity

log = logging.getLogger(__name__)

BATCH = 16  # images; the gradients of more need memory and save no time
Maps = npt.NDArray[np.float32]


def check_explainable(bundle: Bundle) -> None:
    """Refuse a model without a class or feature maps to explain, before anything is predicted.

    Raises:
        UserError: it is an overlap, or one of its networks has no feature maps.
    """
    if bundle.outputs != bundle.classes:
        raise UserError("explain=: an overlap counts votes and has no class to explain; give one of its runs as ckpt=")
    for member in bundle.members:
        network, blank = member.classifier.network, torch.zeros(1, 3, *[member.image_size] * 2, dtype=torch.uint8)
        try:
            token_layer(network) or feature_stage(network, member.classifier.normalise(blank))
        except UserError as error:
            raise UserError(f"explain=: {error}; leave explain= out") from None


def mean_maps(bundle: Bundle, paths: Sequence[str], classes: Sequence[int], side: int, device: torch.device) -> Maps:
    """Return where the networks of a model looked, the mean of their Grad-CAM maps, ``(N, side, side)`` in [0, 1].

    Args:
        bundle: the model.
        paths: of the images, few enough for one batch.
        classes: class number of each image.
        side: of the maps in pixels.
        device: to compute on.

    Raises:
        UserError: a network has no feature maps.
    """
    total = np.zeros((len(paths), side, side), np.float32)
    with ThreadPoolExecutor() as threads:
        for size, fit in dict.fromkeys((member.image_size, member.fit) for member in bundle.members):
            images = np.stack([*threads.map(lambda path, s=size, f=fit: read_image(path, s, f), paths)])
            shown = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
            for member in bundle.members:
                if (member.image_size, member.fit) == (size, fit):
                    for i, each in enumerate(gradcam(member.classifier.to(device), shown, classes)):
                        total[i] += cv2.resize(each, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(total / len(bundle.members), np.float32)


def write_explanations(
    bundle: Bundle,
    rows: pd.DataFrame,
    called: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.floating],
    folder: Path,
    device: torch.device,
    rule: str = "",
) -> None:
    """Write a picture of each image: itself, its map for the called class over it, and a legend.

    Args:
        bundle: the model.
        rows: ``image_id`` and ``path`` of the images.
        called: number of the class that each is called.
        probabilities: of all classes, ``(N, C)``.
        folder: takes the pictures, named by the images' ids.
        device: to compute on.
        rule: how the class was called, for the legend, where it isn't the most probable one.
    """
    places = [folder / picture_name(image_id) for image_id in rows["image_id"]]
    paths = rows["path"].tolist()
    starts = range(0, len(paths), BATCH)
    for start in track(starts, f"explaining {quantity(len(paths), 'image')}", len(starts)):
        chosen = slice(start, start + BATCH)
        maps = mean_maps(bundle, paths[chosen], called[chosen].tolist(), LARGE, device)
        own = zip(paths[chosen], maps, called[chosen], probabilities[chosen], places[chosen], strict=True)
        for path, each, number, row, place in own:
            image = read_image(path, LARGE, bundle.fit)
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as temporary:
                picture = explained(image, each, bundle.classes[number], float(row[number]), rule)
                temporary.write_bytes(jpeg(picture))
    log.info("Grad-CAM of %s: %s", quantity(len(paths), "image"), folder)


def picture_name(image_id: str) -> str:
    """Return the relative path of the picture of an image; other images get other ones.

    >>> picture_name("a/1.jpg"), picture_name("/data/2.png"), picture_name("ISIC_3")
    ('a/1.jpg', 'data/2.png.jpg', 'ISIC_3.jpg')
    """
    inside = "/".join(part for part in image_id.split("/") if part not in ("", ".", ".."))
    return inside if inside.endswith(".jpg") else f"{inside}.jpg"
