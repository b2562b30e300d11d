"""Parts of a system's evidence, each a plain block made from the predictions alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix

from skinlab.evaluation.evidence.form import Mistake, RowCounts, Spread, SpreadOfMetric
from skinlab.evaluation.evidence.rules import Decisions, Ints, Rules
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.metrics.operating_points import operating_point
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import Resampler
from skinlab.evaluation.statistics.support import FEW_GROUPS

WORST = 12
Bools = npt.NDArray[np.bool_]


def row_counts(
    predictions: Predictions, resampler: Resampler, called: Ints | None = None, *, pooled: bool
) -> RowCounts:
    """Return how many images and groups there are, in all and of each class, and how the classes are confused.

    Args:
        predictions: N rows.
        resampler: of the same rows.
        called: class number of each row ``(N,)`` by a rule; None for the most probable class.
        pooled: whether the rows are validation folds put together.
    """
    labels = range(len(predictions.classes))
    called = predictions.probabilities.argmax(1) if called is None else called
    confusion = confusion_matrix(predictions.target, called, labels=labels)
    return {
        "rows": len(predictions),
        "groups": resampler.counts.total,
        "support": dict(zip(predictions.classes, confusion.sum(1).tolist(), strict=True)),
        "groups_per_class": resampler.counts.by_name(),
        "pooled_folds": sorted({int(fold) for fold in predictions.fold}) if pooled else None,
        "confusion": confusion.tolist(),
        "confusion_shares": (confusion / np.maximum(confusion.sum(1, keepdims=True), 1)).tolist(),
    }


def spread(
    tables: Sequence[Predictions],
    replicate_axis: str | None,
    replicate_ids: Sequence[int],
    rules: Rules,
    *,
    pooled: bool,
) -> Spread | None:
    """Return mean and standard deviation over seeds, or over folds; of decisions those by the rules of the headline."""
    every = np.arange(len(tables[0]))
    parts = [(table, rules.decisions(table), every) for table in tables]
    if replicate_axis is None and pooled:
        replicate_axis, (first, decisions, _) = "fold", parts[0]
        replicate_ids = sorted({int(fold) for fold in first.fold})
        parts = [(first, decisions, np.flatnonzero(first.fold == fold)) for fold in replicate_ids]
    if replicate_axis is None:
        return None
    each = [_metrics_of(*part) for part in parts]
    points = {name: decided.point for decided in parts[0][1] for name in decided.names}
    metrics: dict[str, SpreadOfMetric] = {}
    for name in (name for name in each[0] if not name.startswith("support/")):
        values = np.array([metrics_of_one[name] for metrics_of_one in each])
        metrics[name] = {
            "mean": float(values.mean()),
            "sd": float(values.std(ddof=1)),
            "values": dict(zip(map(str, replicate_ids), values.tolist(), strict=True)),
            "operating_point": points.get(name, operating_point(name)),
        }
    return {"replicate_axis": replicate_axis, "n": len(parts), "metrics": metrics}


def _metrics_of(table: Predictions, decisions: Sequence[Decisions], part: Ints) -> dict[str, float]:
    """Return the metrics on some images of a table, those of decisions by its rules."""
    found = classification_metrics(table.probabilities[part], table.target[part], table.classes)
    for each in decisions:
        found |= each.values(part)
    return found


def worst_mistakes(predictions: Predictions, n: int = WORST, *, missed: Bools | None = None) -> list[Mistake]:
    """Return the wrong predictions of highest confidence, those of missed positives first.

    Args:
        predictions: N rows.
        n: the most to return.
        missed: which rows ``(N,)`` are positives that the rule of the headline does not find; None without positives.
    """
    missed = np.zeros(len(predictions), bool) if missed is None else missed
    predicted, confidence = predictions.probabilities.argmax(1), predictions.probabilities.max(1)
    wrong = np.flatnonzero(predicted != predictions.target)
    chosen = wrong[np.lexsort((-confidence[wrong], ~missed[wrong]))][:n]
    return [
        {
            "image_id": str(predictions.image_id[i]),
            "label": predictions.classes[predictions.target[i]],
            "predicted": predictions.classes[predicted[i]],
            "probability": round(float(confidence[i]), 4),
            "path": str(predictions.path[i]) or None,
            "missed": bool(missed[i]),
        }
        for i in chosen
    ]


def row_cautions(predictions: Predictions) -> list[str]:
    """Return the limits of what these images show, a sentence each."""
    found = []
    if len(np.unique(predictions.group.astype(str))) == len(predictions):
        found.append(
            "No two images share a group. If one lesion or patient has several images, the intervals are too narrow."
        )
    counts = Resampler(predictions.group, predictions.target, predictions.classes).counts.by_name()
    absent = [name for name, n in counts.items() if n == 0]
    if absent:
        found.append(f"No images of {', '.join(absent)}: macro averages leave them out.")
    limits = ((0, MIN_GROUPS, "their metrics have no intervals"), (MIN_GROUPS - 1, FEW_GROUPS, "intervals are rough"))
    for least, limit, effect in limits:
        few = [f"{name} ({n})" for name, n in counts.items() if least < n < limit]
        if few:
            found.append(f"Fewer than {limit} groups of {', '.join(few)}: {effect}.")
    return found
