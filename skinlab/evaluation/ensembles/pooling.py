"""Out-of-fold predictions: the validation folds of one recipe put together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields

import numpy as np

from skinlab.evaluation.predictions import Predictions

OUT_OF_FOLD = "out of fold"  # how the rows of pooled folds are named


def scale_cautions(chosen_on: Mapping[str, str], n_models: int) -> list[str]:
    """Return a sentence where something chosen out of fold is applied to the mean of several models.

    Out of fold an image has the probability of one model. The mean of several is less extreme, so that a threshold of
    the one is not that of the other; out-of-fold images of the mean don't exist, since its models were trained on them.

    Args:
        chosen_on: what was chosen, such as ``the threshold for f1``, and the rows in words.
        n_models: whose probabilities are averaged.

    >>> scale_cautions({"the rule cost": "val, 9 images", "the threshold for f1": "out of fold, 9 images"}, 5)[0][:56]
    'the threshold for f1: chosen out of fold, where an image'
    """
    found = [what for what, rows in chosen_on.items() if rows.startswith(OUT_OF_FOLD)]
    if n_models < 2 or not found:
        return []
    return [
        f"{', '.join(found)}: chosen out of fold, where an image has the probability of one model, and applied to the "
        f"mean of {n_models} models, which is less extreme: sensitivity and specificity may differ from those chosen."
    ]


def mean_predictions(tables: Sequence[Predictions]) -> Predictions:
    """Return the mean of the probabilities of several trainings, as they are used together; of one, its own.

    Args:
        tables: of the same rows in the same order.
    """
    if len(tables) == 1:
        return tables[0]
    return tables[0].with_probabilities(np.mean([table.probabilities for table in tables], axis=0))


def pool_folds(
    tables: Sequence[Predictions],
    folds: Sequence[int],
    *,
    n_folds: int,
    expected: Collection[str] | None = None,
    name: str = "the sweep",
) -> Predictions:
    """Join validation folds, each row predicted by the one model that was not trained on it.

    Args:
        tables: predictions of each fold's validation rows.
        folds: number of each fold.
        n_folds: how many there should be.
        expected: the images that all folds together should hold.
        name: for the messages.

    Raises:
        ValueError: a fold is missing or doubled, two share an image or a group, classes differ, or images are missing.
    """
    doubled = sorted({fold for fold in folds if list(folds).count(fold) > 1})
    if doubled:
        raise ValueError(f"{name} has fold {doubled[0]} several times; give one run a fold (and seed)")
    missing = sorted(set(range(n_folds)) - set(folds))
    if missing:
        numbers = ",".join(map(str, missing))
        raise ValueError(
            f"{name} lacks fold {numbers} of {n_folds}; train it with the settings of the other folds, and "
            f"data.fold={numbers}"
        )
    for table, fold in zip(tables, folds, strict=True):
        if table.classes != tables[0].classes:
            raise ValueError(
                f"{name}: fold {fold} has the classes {', '.join(table.classes)}, fold {folds[0]} "
                f"{', '.join(tables[0].classes)}; pool folds of one data set"
            )
    arrays = {
        each.name: np.concatenate([getattr(table, each.name) for table in tables])
        for each in fields(Predictions)
        if each.name != "classes"
    }
    arrays["fold"] = np.repeat(np.asarray(folds, np.int64), [len(table) for table in tables])
    pooled = Predictions(tables[0].classes, **arrays)
    for what, values in (("image", pooled.image_id), ("group", pooled.group)):
        place: dict[str, int] = {}
        for value, fold in zip(values, pooled.fold, strict=True):
            other = place.setdefault(value, fold)
            if other != fold:
                raise ValueError(
                    f"{name}: {what} {value} is in the validation of fold {other} and fold {fold}; the runs were split "
                    "differently: train all folds with the same data and data.split_seed"
                )
    if expected is not None and set(expected) != set(pooled.image_id):
        first = sorted(set(expected) ^ set(pooled.image_id))[0]
        raise ValueError(f"{name}: the folds hold {len(pooled)} images of {len(expected)} (differs: {first})")
    return pooled
