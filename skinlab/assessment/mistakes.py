"""Grad-CAM of the worst mistakes of the systems of an evaluation, as pictures for the report."""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skinlab.data.image_files import exists
from skinlab.errors import UserError
from skinlab.evaluation.evidence.form import Evidence, Mistake, System
from skinlab.inference.overlays import SIDE, jpeg, overlay
from skinlab.processes.progress import Progress, track
from skinlab.report.headlines import leading
from skinlab.tables.predictions import read_image_ids

log = logging.getLogger(__name__)

STEP = 4  # images between two lines of progress


def add_saliency(evidence: Evidence, setting: bool | str) -> Evidence:
    """Return the evidence for a page, each worst mistake with its Grad-CAM picture as a data URL under ``saliency``.

    Args:
        evidence: stays as it is. Of many systems those that the page shows get pictures.
        setting: ``auto`` (what can be drawn), True (or fail), False.

    Raises:
        UserError: True, and a system has mistakes but no checkpoint or no images to draw them from.
    """
    if setting is False:
        return evidence
    pictured, shown = dict[int, System](), leading(evidence)["systems"]
    for system in track(shown, "Grad-CAM of each system", len(shown)):
        try:
            found = overlays(system)
        except UserError as error:
            if setting is True:
                raise UserError(f"saliency=true: {error}; or set saliency=auto") from None
            log.warning("%s: its worst mistakes are shown without Grad-CAM: %s", system["name"], error)
            found = {}
        if setting is True and system["worst_mistakes"] and not found:
            raise UserError(
                f"saliency=true: {system['name']} has no run with the checkpoint and the images of its worst mistakes; "
                "set saliency=auto"
            )
        worst = [_with_picture(row, found.get(row["image_id"])) for row in system["worst_mistakes"]]
        pictured[id(system)] = {**system, "worst_mistakes": worst}
    return {**evidence, "systems": [pictured.get(id(each), each) for each in evidence["systems"]]}


def overlays(system: System) -> dict[str, bytes]:
    """Return JPEGs of the worst mistakes, coloured by Grad-CAM for the class that was predicted.

    The networks are those of the runs or of the model that the predictions came from, each for its own rows; maps of
    several networks for one image, as of an ensemble's members, are averaged.

    Args:
        system: of an ``evidence.json``.

    Returns:
        image_id → JPEG; only of images that are there, and of networks that are still the ones that predicted.

    Raises:
        UserError: a checkpoint or an image is damaged.
    """
    rows = [row for row in system["worst_mistakes"] if row["path"] and exists(row["path"])]
    models = _models(system) if rows else []
    maps: dict[str, list[npt.NDArray[np.float32]]] = {}
    fits: dict[str, str] = {}
    own = [[row for row in rows if row["image_id"] in images] for *_, images in models]
    with Progress("Grad-CAM of the worst mistakes", sum(map(len, own))) as progress:
        for (places, sha256, _), chosen in zip(models, own, strict=True):
            found, fit = _maps(places, sha256, chosen, progress) if chosen else ({}, "")
            for image_id, each in found.items():
                maps.setdefault(image_id, []).append(each)
                fits.setdefault(image_id, fit)
    from skinlab.data.images import read_image

    paths = {row["image_id"]: str(row["path"]) for row in rows}
    return {
        image_id: jpeg(overlay(read_image(paths[image_id], SIDE, fits[image_id]), np.mean(each, axis=0)))
        for image_id, each in maps.items()
    }


def _models(system: System) -> list[tuple[list[str], str, set[str]]]:
    """Return the models behind a system's mistakes: their places, hash, and the images that they predicted."""
    found = []
    for source in system["sources"]:
        run = Path(source["meta"].get("run") or Path(source["path"]).parent.parent)
        places = source["meta"].get("models") or ([str(run)] if (run / "checkpoints" / "best.ckpt").is_file() else [])
        if places and all(Path(place).exists() for place in places):
            images = set(read_image_ids(Path(source["path"]), source.get("columns", {})))
            found.append((places, str(source["meta"].get("checkpoint_sha256")), images))
    spread = system["spread"]
    if not spread or (system["pooled_folds"] and spread["replicate_axis"] == "fold"):
        return found
    kept, covered = [], set[str]()  # of seeds side by side the mistakes are the first one's
    for places, sha256, images in found:
        if not images & covered:
            kept.append((places, sha256, images))
            covered |= images
    return kept


def _maps(
    places: Sequence[str], sha256: str, rows: Sequence[Mistake], progress: Progress
) -> tuple[dict[str, npt.NDArray[np.float32]], str]:
    """Return image_id → map ``(SIDE, SIDE)`` of a model's networks, and the fit of its images."""
    from skinlab.inference.bundle import best_device  # torch, only here: metrics from tables need none
    from skinlab.inference.explanations import mean_maps
    from skinlab.inference.models import load_models

    bundle = load_models(places)
    if bundle.sha256 != sha256:
        raise UserError(f"{', '.join(places)}: no longer the one of its predictions; predict again")
    known = [row for row in rows if row["predicted"] in bundle.classes]
    maps: dict[str, npt.NDArray[np.float32]] = {}  # empty for such as the predictions of a binary view
    for start in range(0, len(known), STEP):
        some = known[start : start + STEP]
        predicted = [bundle.classes.index(row["predicted"]) for row in some]
        found = mean_maps(bundle, [str(row["path"]) for row in some], predicted, SIDE, best_device())
        maps |= {row["image_id"]: each for row, each in zip(some, found, strict=True)}
        progress.advance(len(some))
    return maps, bundle.fit


def _with_picture(row: Mistake, picture: bytes | None) -> Mistake:
    """Return a mistake with its picture as a data URI, if there is one."""
    if picture is None:
        return row
    return {**row, "saliency": f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"}
