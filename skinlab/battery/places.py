"""The images that a model is tried on: those at home from its run, those outside from any data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from skinlab.battery.bench import ImageSet
from skinlab.battery.known_images import GROUP, ID, NEAR, PIXELS, Reasons
from skinlab.battery.model import Model
from skinlab.data.audit.checks import AuditResult
from skinlab.errors import UserError
from skinlab.evaluation.shift.yardstick import Yardstick
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.evaluation.thresholds.operating import row_thresholds
from skinlab.inference.run_tables import read_split
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
    class_of: Mapping[str, str],
    own: Reasons,
    model: Model,
    yardstick: Yardstick,
    n: int | None,
) -> ImageSet:
    """Return the labelled images of an outside data set, without those of the model's own data.

    Args:
        name: of the data set.
        audited: its N images.
        class_of: label → class of the model, empty for images to leave out.
        own: why each image is of the model's own data ``(N,)``, "" where it is not.
        model: that predicts them.
        yardstick: how predictions are measured.
        n: images at most.

    Raises:
        UserError: no image is left.
    """
    rows = audited.manifest
    labels, other = rows["label"].map(class_of), own == ""
    left_out = {
        "without a label": int((rows["label"] == "").sum()),
        "of a class that the map leaves out": int(((rows["label"] != "") & (labels == "")).sum()),
        **{why: int(((labels != "") & (own == why)).sum()) for why in (PIXELS, NEAR, ID, GROUP)},
    }
    left_out = {why: count for why, count in left_out.items() if count}
    kept = ((labels != "") & other).to_numpy()
    if not kept.any():
        counts = ", ".join(f"{count} {why}" for why, count in left_out.items())
        raise UserError(f"data={name}: of {len(rows)} images none is left ({counts}); give images of another source")
    no_class = rows[((rows["label"] != "") & (labels == "") & other).to_numpy()]
    rows = rows.assign(label=labels)[kept].reset_index(drop=True)
    chosen = drawn_rows(rows, n, yardstick.seed)
    if len(chosen) < len(rows):
        left_out["not drawn"] = len(rows) - len(chosen)
    rows = rows.iloc[chosen].reset_index(drop=True)
    no_class = no_class.iloc[drawn_rows(no_class, n, yardstick.seed)].reset_index(drop=True)
    return ImageSet(f"outside ({name})", rows, model, yardstick, left_out, no_class=no_class)
