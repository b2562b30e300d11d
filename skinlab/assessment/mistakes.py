"""Grad-CAM of the worst mistakes of the systems of an evaluation, as pictures for the report."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from skinlab.errors import UserError
from skinlab.evaluation.evidence.form import Evidence, Mistake, System
from skinlab.processes.progress import track
from skinlab.tables.predictions import read_image_ids

log = logging.getLogger(__name__)

SIDE = 240  # of the pictures, in pixels
STRENGTH = 0.7  # share of colour where the map is strongest; the image shows through everywhere
Pixels = npt.NDArray[np.uint8]


def add_saliency(evidence: Evidence, setting: bool | str) -> Evidence:
    """Return the evidence for a page, each worst mistake with its Grad-CAM picture as a data URL under ``saliency``.

    Args:
        evidence: stays as it is.
        setting: ``auto`` (what can be drawn), True (or fail), False.

    Raises:
        UserError: True, and a system has mistakes but no checkpoint or no images to draw them from.
    """
    if setting is False:
        return evidence
    systems: list[System] = []
    for system in evidence["systems"]:
        try:
            found = overlays(system)
        except UserError as error:
            if setting is True:
                raise
            log.warning("%s: its worst mistakes are shown without Grad-CAM: %s", system["name"], error)
            found = {}
        if setting is True and system["worst_mistakes"] and not found:
            raise UserError(
                f"saliency=true: {system['name']} has no run with the checkpoint and the images of its worst mistakes; "
                "set saliency=auto"
            )
        worst = [_with_picture(row, found.get(row["image_id"])) for row in system["worst_mistakes"]]
        systems.append({**system, "worst_mistakes": worst})
    return {**evidence, "systems": systems}


def overlays(system: System) -> dict[str, bytes]:
    """Return JPEGs of the worst mistakes, coloured by Grad-CAM for the class that was predicted.

    The networks are those of the runs that the predictions came from, each for its own rows; maps of several networks
    for one image, as of an ensemble's members, are averaged.

    Args:
        system: of an ``evidence.json``.

    Returns:
        image_id → JPEG; only of images that are there, and of networks that are still the ones that predicted.

    Raises:
        UserError: a checkpoint or an image is damaged.
    """
    rows = [row for row in system["worst_mistakes"] if row["path"] and Path(row["path"]).is_file()]
    runs = _runs(system) if rows else []
    maps: dict[str, list[npt.NDArray[np.float32]]] = {}
    fits: dict[str, str] = {}
    for run, sha256, images in track(runs, "Grad-CAM of the worst mistakes", len(runs)):
        own = [row for row in rows if row["image_id"] in images]
        if own:
            found, fit = _maps(run, sha256, own)
            for image_id, each in found.items():
                scaled = cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
                maps.setdefault(image_id, []).append(np.asarray(scaled, np.float32))
                fits.setdefault(image_id, fit)
    from skinlab.data.images import read_image

    paths = {row["image_id"]: str(row["path"]) for row in rows}
    return {
        image_id: _jpeg(overlay(read_image(paths[image_id], SIDE, fits[image_id]), np.mean(each, axis=0)))
        for image_id, each in maps.items()
    }


def overlay(image: Pixels, strength: npt.NDArray[np.floating]) -> Pixels:
    """Colour an image ``(S, S, 3)`` by the strength ``(S, S)`` in [0, 1]; where it is 0 the image stays as it is.

    >>> bool((overlay(np.full((2, 2, 3), 9, np.uint8), np.zeros((2, 2))) == 9).all())
    True
    """
    colour = cv2.applyColorMap(np.uint8(255 * strength), cv2.COLORMAP_TURBO)[..., ::-1]  # type: ignore[call-overload]
    share = STRENGTH * strength[..., None]
    return np.asarray(np.round(image * (1 - share) + colour * share), np.uint8)


def _runs(system: System) -> list[tuple[Path, str, set[str]]]:
    """Return the runs behind a system's mistakes: directory, hash of the checkpoint, and images predicted by it."""
    found = []
    for source in system["sources"]:
        run = Path(source["meta"].get("run") or Path(source["path"]).parent.parent)
        if (run / "checkpoints" / "best.ckpt").is_file():
            images = set(read_image_ids(Path(source["path"]), source.get("columns", {})))
            found.append((run, str(source["meta"].get("checkpoint_sha256")), images))
    spread = system["spread"]
    if not spread or (system["pooled_folds"] and spread["replicate_axis"] == "fold"):
        return found
    kept, covered = [], set[str]()  # of seeds side by side the mistakes are the first one's
    for run, sha256, images in found:
        if not images & covered:
            kept.append((run, sha256, images))
            covered |= images
    return kept


def _maps(run: Path, sha256: str, rows: Sequence[Mistake]) -> tuple[dict[str, npt.NDArray[np.float32]], str]:
    """Return image_id → map ``(S, S)`` of the run's network, and the fit of its images."""
    import torch  # only here: metrics from tables need none

    from skinlab.data.images import read_image
    from skinlab.inference.bundle import best_device, load_bundle
    from skinlab.inference.saliency import gradcam

    bundle = load_bundle(run)
    if bundle.sha256 != sha256:
        raise UserError(f"{run}: its checkpoint is no longer the one of its predictions; predict again")
    known = [row for row in rows if row["predicted"] in bundle.classes]
    if not known:  # such as the predictions of a binary view
        return {}, bundle.fit
    images = np.stack([read_image(str(row["path"]), bundle.image_size, bundle.fit) for row in known])
    shown = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    predicted = [bundle.classes.index(row["predicted"]) for row in known]
    maps = gradcam(bundle.classifier.to(best_device()), shown, predicted)
    return {row["image_id"]: each for row, each in zip(known, maps, strict=True)}, bundle.fit


def _jpeg(pixels: Pixels) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=80)
    return content.getvalue()


def _with_picture(row: Mistake, picture: bytes | None) -> Mistake:
    """Return a mistake with its picture as a data URI, if there is one."""
    if picture is None:
        return row
    return {**row, "saliency": f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"}
