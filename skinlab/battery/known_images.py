"""Find the images of an outside data set that a model's own data set has, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.data.audit.duplicates import clusters
from skinlab.data.audit.fingerprint_cache import duplicates, fingerprints
from skinlab.data.image_files import exists
from skinlab.data.training_images import Hashes, TrainingImages
from skinlab.processes.cores import available_cores
from skinlab.tables.csv_files import read_csv

OWN = "in the model's own data"
PIXELS, NEAR, ID = f"{OWN}, by their pixels", f"{OWN}, as near-duplicates", f"{OWN}, by image_id"
GROUP = "of lesions or patients in the model's own data"

Reasons = npt.NDArray[np.object_]


def known_images(
    rows: pd.DataFrame, contents: Hashes, known: TrainingImages, run: Path | None, cache_dir: Path | None
) -> Reasons:
    """Return why each image is not of another place than the model's data, ``(N,)``; "" where it is.

    All images of the run's data set count, its test part, too: they are those at home. Ids are compared only if most of
    the images with the same picture have an id in common, since other data may use the same names.

    Args:
        rows: N rows of the outside manifest.
        contents: their content hashes ``(N,)``.
        known: training images of the model.
        run: its directory, or None; then near-duplicates and ids can't be found.
        cache_dir: of the audit's fingerprints.
    """
    used = known.usage(contents, rows["group"])
    found = np.where(np.isin(used, ("train", "val")), PIXELS, "").astype(object)
    if run is not None:
        own = read_csv(run / "split.csv", ["path", "image_id"])
        _add(found, _same_pictures(rows["path"].tolist(), own["path"].tolist(), cache_dir))
        same_id = rows["image_id"].isin(set(own["image_id"])).to_numpy()
        if (pictures := found != "").any() and same_id[pictures].mean() > 0.5:
            _add(found, np.where(same_id, ID, "").astype(object))
    of_group = rows["group"].isin(set(rows["group"][found != ""])).to_numpy() | (used == "group")
    _add(found, np.where(of_group, GROUP, "").astype(object))
    return found


def _add(found: Reasons, others: Reasons) -> None:
    """Set the reason of the images that have none."""
    empty = found == ""
    found[empty] = others[empty]


def _same_pictures(paths: list[str], own: list[str], cache_dir: Path | None) -> Reasons:
    """Return which images show a picture of the model's data set, to the pixel or nearly, ``(N,)``."""
    workers = available_cores()
    theirs, bad, _ = fingerprints([path for path in own if path and exists(path)], cache_dir, workers)
    theirs = np.delete(theirs, list(bad))
    records = np.concatenate([theirs, fingerprints(paths, cache_dir, workers)[0]])
    pairs = duplicates(records, cache_dir)
    found = np.full(len(records), "", object)
    for reason, chosen in ((NEAR, pairs), (PIXELS, pairs[pairs["exact"]])):
        part = clusters(chosen["a"], chosen["b"], len(records))
        found[np.isin(part, part[: len(theirs)])] = reason
    return found[len(theirs) :]
