"""Metrics by lesion and by patient, beside those by image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.evidence.population_form import UnitMetrics
from skinlab.evaluation.evidence.rules import NO_RULES, Rules
from skinlab.evaluation.evidence.views import View, all_classes, positive_classes
from skinlab.evaluation.predictions import Predictions
from skinlab.processes.progress import part

Unit = Literal["image", "lesion", "patient"]
Ids = npt.NDArray[np.object_]
MERGED = 0.02  # of the groups: the largest share that copies may have merged with others


def unit_ids(rows: Predictions, metadata: pd.DataFrame | None, unit: Unit) -> Ids | None:
    """Return the lesion or patient of each row ``(N,)``; None where the table does not tell.

    An image without one is a unit of its own. Lesions are the column ``lesion``, else the groups, unless these are the
    patients, or hold several.
    """
    there = {} if metadata is None else {name: metadata[name].to_numpy(object) for name in metadata.columns}
    found: Ids | None = there.get(unit)
    if found is None and unit == "lesion" and not _hold(rows.group, there.get("patient")):
        found = rows.group
    return None if found is None else np.where(found == "", rows.image_id, found)


def _hold(groups: Ids, units: Ids | None) -> bool:
    """Return whether all images of each known patient (or lesion) are in one group."""
    if units is None:
        return False
    pairs = pd.DataFrame({"unit": units, "group": groups})[units != ""].drop_duplicates()
    return len(pairs) > 0 and not pairs["unit"].duplicated().any()


def group_unit(groups: Ids, metadata: pd.DataFrame | None) -> Unit | None:
    """Return what the images of a group have in common; ``image`` where no two share one, None where it is unknown.

    Groups are the patients, or the lesions, whose images they keep together, but for the few that copies have merged.

    Args:
        groups: of each image ``(N,)``.
        metadata: N rows in the same order, if there are any.

    >>> groups = np.array(["P", "P"], object)
    >>> group_unit(groups, pd.DataFrame({"patient": ["P", "P"], "lesion": ["1", "2"]})), group_unit(groups, None)
    ('patient', None)
    """
    units: tuple[Unit, ...] = ("patient", "lesion")
    for unit in units:
        ids = metadata[unit].to_numpy(object) if metadata is not None and unit in metadata else None
        if ids is not None and _hold(groups, ids):
            n_units = len(set(ids[ids != ""])) + int((ids == "").sum())
            if len(set(groups)) >= (1 - MERGED) * n_units:
                return unit
    return "image" if len(set(groups)) == len(groups) else None


def by_lesion(rows: Predictions, lesion: Ids) -> Predictions:
    """Return one row a lesion, with the mean of its images' probabilities.

    Args:
        rows: N images.
        lesion: of each image ``(N,)``.

    Raises:
        ValueError: images of one lesion have different labels, with an example.
    """
    number, names = pd.factorize(lesion)
    first = np.unique(number, return_index=True)[1]
    differing = np.flatnonzero(rows.target != rows.target[first][number])
    if len(differing):
        i, j = differing[0], first[number[differing[0]]]
        labels = [f"{rows.image_id[k]}: {rows.classes[rows.target[k]]}" for k in (j, i)]
        raise ValueError(
            f"lesion {names[number[i]]} has images of different labels ({', '.join(labels)}); correct them, or give "
            "the lesions in a column lesion, where the groups are patients"
        )
    counts = np.bincount(number).astype(np.float64)
    mean = np.stack([np.bincount(number, p) / counts for p in rows.probabilities.T], axis=1)
    return _units(rows.take(first), mean, np.asarray(names, object))


def by_patient(view: Predictions, lesion: Ids, patient: Ids) -> Predictions:
    """Return one row a patient of a binary view: positive if any lesion is, with the score of the worst lesion.

    The score of a lesion is the mean of its images'; that of the patient is the largest of its lesions'.

    Args:
        view: N images, the positive class last.
        lesion: of each image ``(N,)``.
        patient: of each image ``(N,)``.
    """
    keys = np.array([f"{a}\0{b}" for a, b in zip(patient, lesion, strict=True)], object)
    number, _ = pd.factorize(keys)
    means = np.bincount(number, view.probabilities[:, 1]) / np.bincount(number)
    whose, names = pd.factorize(patient)
    score, target = np.zeros(len(names)), np.zeros(len(names), np.int64)
    np.maximum.at(score, whose, means[number])
    np.maximum.at(target, whose, view.target)
    first = np.unique(whose, return_index=True)[1]
    rows = view.take(first)
    units = _units(rows, np.stack([1 - score, score], 1), np.asarray(names, object))
    return Predictions(**{**vars(units), "target": target, "group": units.image_id})


def _units(rows: Predictions, probabilities: npt.NDArray[np.float64], names: Ids) -> Predictions:
    return Predictions(**{**vars(rows), "probabilities": probabilities, "image_id": names})


@part(5)
def evaluate_units(
    tables: Sequence[Predictions],
    views: Sequence[Predictions],
    metadata: pd.DataFrame | None,
    units: Sequence[Unit] | None,
    *,
    rules: Rules = NO_RULES,
    level: float,
    seed: int,
    overlap: float = 0.0,
) -> list[UnitMetrics]:
    """Return the metrics by lesion and by patient.

    A patient has lesions of several classes, so that only the positive view has metrics by patient. Where the lesions
    of the patients are not known, each image is one.

    Args:
        tables: of the system: the same N images in each.
        views: their binary views; none where no class is positive.
        metadata: N rows of text, with the columns ``lesion`` and ``patient`` if they are known.
        units: those wanted; None for all that some images share.
        rules: that the system decides by: a unit's score is held against the threshold of its first image, and the
            class of a lesion is called by the mean of its images' probabilities.
        level: of the intervals.
        seed: of the bootstrap samples.
        overlap: of the trainings that the tables are of, whose variance the intervals count.

    Raises:
        ValueError: a unit is named that is not known, or a lesion has several labels.
    """
    found = []
    for unit in ("lesion", "patient"):
        ids = unit_ids(tables[0], metadata, unit)
        if units is not None and unit in units and ids is None:
            raise ValueError(
                f"units=[{unit}]: the images have no column {unit}; name it, columns.{unit}=NAME, or give a table with "
                "it: metadata=FILE.csv"
            )
        if ids is None or (units is not None and unit not in units):
            continue
        if units is None and len(set(ids.tolist())) == len(ids):
            continue
        lesions = unit_ids(tables[0], metadata, "lesion")
        try:
            lesions = tables[0].image_id if lesions is None else lesions
            found.append(_unit(tables, views, unit, (ids, lesions), rules, level=level, seed=seed, overlap=overlap))
        except ValueError as error:
            if units is not None:
                raise
            found.append(_empty(unit, ids, f"no metrics by {unit}: {error}"))
    return found


def _empty(unit: Unit, ids: Ids, note: str) -> UnitMetrics:
    n = len(set(ids.tolist()))
    return {
        "unit": unit,
        "rows": n,
        "images": len(ids),
        "support": {},
        "metrics": {},
        "binary": {},
        "note": note,
        "rule": None,
        "called": "",
    }


def _unit(
    tables: Sequence[Predictions],
    views: Sequence[Predictions],
    unit: Unit,
    members: tuple[Ids, Ids],
    rules: Rules,
    *,
    level: float,
    seed: int,
    overlap: float,
) -> UnitMetrics:
    """Return the metrics by one unit; ``members`` are the unit and the lesion of each image."""
    ids, lesions = members
    block = _empty(unit, ids, "")
    first = np.unique(pd.factorize(ids)[0], return_index=True)[1]  # image of each unit, in the order of the units
    at = rules.at
    block["rule"], how = at.rule, (None if at.thresholds is None else at.thresholds[first], at.prevalence, overlap)
    if unit == "lesion":
        lesion_tables = [by_lesion(table, ids) for table in tables]
        block["called"] = rules.called_point
        whole: View | None = all_classes(lesion_tables, "page", rules.called(mean_predictions(lesion_tables)), overlap)
        binary = positive_classes([by_lesion(view, ids) for view in views], "page", *how)
    else:
        whole = None
        block["each_image_a_lesion"] = len(set(lesions.tolist())) == len(lesions)
        binary = positive_classes([by_patient(view, lesions, ids) for view in views], "page", *how)
        if binary is None:
            return block | {"note": "no metrics by patient: they need positive classes, as in 'positive=[mel,bcc]'"}
    if binary is not None and (decided := binary.counts()):
        block["counts"] = decided
    for name, view in (("metrics", whole), ("binary", binary)):
        if view is None:
            continue
        rows = view.tables[0]
        counts = {each: int((rows.target == i).sum()) for i, each in enumerate(rows.classes)}
        block["support"] = block["support"] or counts
        if (min(counts.values()) and len(counts) == 2) or sum(n > 0 for n in counts.values()) > 1:
            samples = view.samples(np.ones(len(rows), bool), seed=seed)
            values = {key: samples.interval(key, level).to_dict() for key in view.names}
            block = block | ({"metrics": values} if name == "metrics" else {"binary": values})
    return block
