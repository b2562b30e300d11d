"""The images that a model is tried on: those at home from its run, those outside from any data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from skinlab.battery.bench import ImageSet
from skinlab.battery.model import Model
from skinlab.data.audit.checks import AuditResult
from skinlab.data.training_images import TrainingImages, contents
from skinlab.errors import UserError, nearest, some
from skinlab.evaluation.shift.yardstick import Yardstick
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.evaluation.thresholds.operating import row_thresholds
from skinlab.inference.run_tables import read_split
from skinlab.tables.csv_files import read_csv
from skinlab.tables.predictions import read_predictions


def home_images(
    run: Path, split: str, model: Model, yardstick: Yardstick, threshold: FrozenThreshold, n: int | None
) -> ImageSet:
    """Return the images of a split of a run.

    Args:
        run: directory.
        split: ``auto`` (val), ``val`` or ``test``.
        model: that predicts them.
        yardstick: how predictions are measured.
        threshold: frozen; where it was chosen on these images, each is evaluated at one of other groups' images.
        n: images at most.

    Raises:
        UserError: the run has no such images, or they are missing.
    """
    split, rows = read_split(run, split, model.bundle.classes)
    own = None
    if split == "val" and threshold.chosen_on != "fixed beforehand":
        view = yardstick.view(read_predictions(run / "predictions" / "val.csv"))
        own = row_thresholds(view, threshold, cross_fit=True, seed=yardstick.seed)
        place = {str(image): row for row, image in enumerate(view.image_id)}
        own = own[[place[image] for image in rows["image_id"]]]
    kept = drawn_rows(rows, n, yardstick.seed)
    name = f"home ({run.name}, {split})"
    left_out = {"not drawn": len(rows) - len(kept)} if len(kept) < len(rows) else {}
    return ImageSet(
        name, rows.iloc[kept].reset_index(drop=True), model, yardstick, left_out, None if own is None else own[kept]
    )


def drawn_rows(rows: pd.DataFrame, n: int | None, seed: int) -> np.ndarray:
    """Return the numbers of at most n rows, whole groups drawn at random, in their order."""
    if n is None or len(rows) <= n:
        return np.arange(len(rows))
    groups = rows["group"].unique()
    order = pd.Series(np.random.default_rng(seed).permutation(len(groups)), index=groups)
    by_group = rows["group"].map(order).to_numpy()
    sizes = np.bincount(by_group)
    return np.flatnonzero(np.cumsum(sizes)[by_group] <= n)


def outside_images(
    name: str,
    audited: AuditResult,
    class_map: str | None,
    known: TrainingImages,
    model: Model,
    yardstick: Yardstick,
    n: int | None,
) -> ImageSet:
    """Return the labelled images of an outside data set, without those of the model's training.

    Args:
        name: of the data set.
        audited: its images.
        class_map: file of its labels' classes; None where they are the model's.
        known: training images of the model.
        model: that predicts them.
        yardstick: how predictions are measured.
        n: images at most.

    Raises:
        UserError: a label has no class, or no image is left.
    """
    classes, rows = model.bundle.classes, audited.manifest
    hashes = contents(bytes(digest).hex() for digest in audited.digests)
    labels = _labels(rows["label"], read_class_map(class_map, classes), classes, name)
    used = known.usage(hashes, rows["group"])
    left_out = {
        "without a label": int((rows["label"] == "").sum()),
        "of a class that the map leaves out": int(((rows["label"] != "") & (labels == "")).sum()),
        "of the model's training": int(((labels != "") & (used != "")).sum()),
    }
    kept = ((labels != "") & (used == "")).to_numpy()
    if not kept.any():
        raise UserError(
            f"data={name}: no image is left ({', '.join(f'{n} {why}' for why, n in left_out.items() if n)}); give "
            "images that the model was not trained on"
        )
    no_class = rows[((rows["label"] != "") & (labels == "") & (used == "")).to_numpy()]
    rows = rows.assign(label=labels)[kept].reset_index(drop=True)
    chosen = drawn_rows(rows, n, yardstick.seed)
    left_out["not drawn"] = len(rows) - len(chosen)
    rows = rows.iloc[chosen].reset_index(drop=True)
    no_class = no_class.iloc[drawn_rows(no_class, n, yardstick.seed)].reset_index(drop=True)
    left_out = {why: count for why, count in left_out.items() if count}
    return ImageSet(f"outside ({name})", rows, model, yardstick, left_out, no_class=no_class)


def read_class_map(place: str | None, classes: Sequence[str]) -> dict[str, str] | None:
    """Return outside label → class of the model, empty for images to leave out; None without a file.

    Raises:
        UserError: the file can't be read, or names a class that the model does not have.
    """
    if place is None:
        return None
    table = read_csv(Path(place).expanduser(), ["label", "class"])
    unknown = [each for each in table["class"] if each and each not in classes]
    if unknown:
        raise UserError(
            f"class_map={place}: {unknown[0]} is no class of the model ({', '.join(classes)})"
            f"{nearest(unknown[0], classes)}"
        )
    return dict(zip(table["label"], table["class"], strict=True))


def _labels(
    labels: pd.Series[str], class_map: Mapping[str, str] | None, classes: Sequence[str], name: str
) -> pd.Series[str]:
    """Return the class of each image, empty for those to leave out."""
    found = sorted(set(labels) - {""})
    missing = [each for each in found if each not in (classes if class_map is None else class_map)]
    if missing:
        lines = "; ".join(f"{each},CLASS" for each in missing)
        raise UserError(
            f"data={name}: {some(missing)} {'is no class' if len(missing) == 1 else 'are no classes'} of the model "
            f"({', '.join(classes)}): write their classes into a table with the columns label,class, an empty class to "
            f"leave images out, and set class_map=FILE.csv; its rows: {lines}"
        )
    return labels if class_map is None else labels.map({**class_map, "": ""})
