"""The tables of a phantom: HAM10000's metadata with generated patients, and the ground truth of each image."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from skinlab.phantom.plan import Settings, Shot
from skinlab.phantom.scene import stream
from skinlab.phantom.traits import MALIGNANT

TRUTH = "phantom_truth.csv"
ARTEFACTS = "phantom_artefacts.csv"
# Artefact of the phantom → column in a table for data.artefacts
_COLUMNS = {"ruler": "ruler", "hair": "hair", "bubbles": "gel_bubble", "ink": "ink"}
# Mean age, share of men, and most frequent sites of each diagnosis in HAM10000.
_PATIENTS = {
    "akiec": (66.5, 0.68, ("face", "lower extremity", "upper extremity")),
    "bcc": (66.8, 0.62, ("back", "face", "upper extremity")),
    "bkl": (64.3, 0.57, ("face", "back", "lower extremity")),
    "df": (53.0, 0.55, ("lower extremity", "lower extremity", "upper extremity")),
    "mel": (60.7, 0.62, ("back", "upper extremity", "lower extremity")),
    "nv": (46.5, 0.51, ("lower extremity", "back", "trunk")),
    "vasc": (51.4, 0.49, ("trunk", "lower extremity", "abdomen")),
}
_SITES = ("back", "lower extremity", "trunk", "upper extremity", "abdomen", "face", "chest", "foot", "neck", "scalp")


def write_metadata(folder: Path, settings: Settings, shots: Sequence[Shot]) -> None:
    """Write HAM10000's two metadata tables: Kaggle's, and the Dataverse's with the acquisition source."""
    header = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]
    rows = [[f"HAM_{s.lesion:07d}", Path(s.path).stem, s.dx, *_patient(settings, s), s.device] for s in shots]
    _write_csv(folder / "HAM10000_metadata", header, rows)
    _write_csv(folder / "HAM10000_metadata.csv", header[:-1], [row[:-1] for row in rows])


def write_artefacts(folder: Path, shots: Sequence[Shot]) -> None:
    """Write which artefacts each image has, 0 or 1, as ``data.artefacts`` reads it."""
    rows = ([Path(s.path).stem, *(int(name in s.artefacts) for name in _COLUMNS)] for s in shots)
    _write_csv(folder / ARTEFACTS, ["image_id", *_COLUMNS.values()], rows)


def write_truth(folder: Path, shots: Sequence[Shot], structures: Sequence[Sequence[str]]) -> None:
    """Write the ground truth of each image: class (also of pool and test images), device, structures and artefacts.

    Args:
        folder: of the phantom.
        shots: the images.
        structures: of the lesion in each.
    """
    header = ["path", "lesion", "dx", "malignant", "device", "structures", "artefacts"]
    rows = (
        [s.path, s.lesion, s.dx, int(s.dx in MALIGNANT), s.device, " ".join(shown), " ".join(s.artefacts)]
        for s, shown in zip(shots, structures, strict=True)
    )
    _write_csv(folder / TRUTH, header, rows)


def _patient(settings: Settings, shot: Shot) -> tuple[str, str, str, str]:
    """Return how a lesion was confirmed, and age in years, sex and site of its patient."""
    rng = stream(settings.seed, shot.lesion, 0, "light")
    mean_age, men, favourites = _PATIENTS[shot.dx]
    age = 5 * round(float(np.clip(rng.normal(mean_age, 15), 5, 85)) / 5)
    sex = "male" if rng.random() < men else "female"
    site = str(rng.choice(favourites if rng.random() < 0.6 else _SITES))
    benign_proof = str(rng.choice(["histo", "consensus", "follow_up" if shot.dx == "nv" else "consensus"]))
    proof = "histo" if shot.dx in MALIGNANT else benign_proof
    known = rng.random() > 0.006
    return proof, f"{age:.1f}" if known else "", sex if known else "unknown", site


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
