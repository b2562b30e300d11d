"""The registry of metrics: one entry per name in ``metrics.json``, with its computation and all that is shown of it.

A new metric is an entry in ``METRICS`` with a function. Everything else reads this list: the log of an epoch and
``callbacks.monitor``, ``metrics.json``, intervals, comparisons, the terminal, the pages, the model card and W&B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from skinlab.evaluation.metrics import functions as m
from skinlab.evaluation.metrics.functions import Compute, macro, negative, positive

Scope = Literal["all", "positive", "class"]
# Where a metric is shown: the table at the end of a run and W&B's summary, the report, the model card, the table of
# sources, the table of many systems, the picture of a run with several or two classes, the tables of calibration, and
# the headline of positive classes against all others.
Place = Literal[
    "terminal", "page", "card", "sources", "leaderboard", "picture", "picture_of_two", "calibration", "positive_view"
]

UNBOUNDED = (-np.inf, np.inf)


@dataclass(frozen=True)
class Metric:
    """A metric: how it is computed, read and shown.

    Attributes:
        name: in ``metrics.json``; of a metric per class without the class.
        label: as people read it.
        short: the label where there is little room, if it is another.
        compute: maps weighted predictions to ``(B,)``, or ``(C, B)`` for a metric per class; NaN where undefined.
        scope: ``all`` images, the ``positive`` one of two classes, or each ``class`` against the others
            (``name/<class>``).
        direction: whether larger (``max``) or smaller (``min``) values are better; None where neither is true.
        bounds: least and greatest value.
        shown: where it is shown; a metric per class is a column of the table of classes there.
        meaning: what it says, for readers who don't compute it; where it stands as a headline.
        epoch: whether it is logged after each epoch and can be ``callbacks.monitor``.
        resampled: how it is computed on a bootstrap sample, where that is not the same as on the table itself.
        in_sentence: its label within a sentence, where that is not the label with a small first letter.
    """

    name: str
    label: str
    compute: Compute
    scope: Scope = "all"
    direction: Literal["min", "max"] | None = "max"
    bounds: tuple[float, float] = (0.0, 1.0)
    shown: tuple[Place, ...] = ()
    meaning: str = ""
    epoch: bool = False
    resampled: str = ""
    in_sentence: str = ""
    short: str = ""


MAIN: tuple[Place, ...] = ("terminal", "page", "card", "sources", "leaderboard", "picture")
NEWTON = "one Newton step from the fit on the table itself (Moulton and Zeger, 1991)"
METRICS = [
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        macro(m.recall),
        shown=(*MAIN, "picture_of_two"),
        meaning="sensitivity averaged over the classes",
        epoch=True,
    ),
    Metric("accuracy", "Accuracy", m.accuracy, epoch=True),
    Metric(
        "f1_macro",
        "Macro F1",
        macro(m.f1),
        shown=("terminal", "page", "card", "sources", "picture"),
        meaning="harmonic mean of sensitivity and PPV, averaged over the classes",
        epoch=True,
    ),
    Metric(
        "pr_auc_macro",
        "Macro average precision",
        macro(m.average_precision),
        short="Macro AP",
        shown=MAIN,
        meaning="precision averaged over the recalls (in steps), then over the classes",
        epoch=True,
    ),
    Metric(
        "auroc_macro",
        "Macro AUROC",
        macro(m.auroc),
        shown=(*MAIN, "picture_of_two"),
        meaning="how often an image of a class ranks above one of another class, averaged over the classes",
        epoch=True,
    ),
    Metric("partial_auroc_macro", "Macro partial AUROC", macro(m.partial_auroc), bounds=(0.0, 0.2)),
    Metric(
        "mcc", "Matthews correlation", m.mcc, bounds=(-1.0, 1.0), shown=("card",), in_sentence="Matthews correlation"
    ),
    Metric(
        "brier",
        "Brier score",
        m.brier,
        direction="min",
        bounds=(0.0, 2.0),
        shown=("card", "calibration"),
        in_sentence="Brier score",
    ),
    Metric("log_loss", "Log-loss", m.log_loss, direction="min", bounds=(0.0, np.inf), shown=("card", "calibration")),
    Metric(
        "ece",
        "Expected calibration error",
        m.ece,
        direction="min",
        short="ECE",
        shown=("terminal", "picture", "calibration"),
        epoch=True,
    ),
    Metric(
        "adaptive_ece",
        "Adaptive calibration error",
        m.adaptive_ece,
        direction="min",
        shown=("card", "calibration"),
        resampled="with the bins of the table itself",
    ),
    Metric(
        "f1_positive",
        "F1 of the positive class",
        positive(m.f1),
        "positive",
        short="F1, positive",
        shown=("terminal", "card", "leaderboard", "picture_of_two"),
        epoch=True,
    ),
    Metric(
        "pr_auc_positive",
        "Average precision of the positive class",
        positive(m.average_precision),
        "positive",
        short="AP, positive",
        shown=("terminal", "page", "card", "leaderboard", "picture_of_two"),
        meaning="precision averaged over the recalls, in steps",
        epoch=True,
    ),
    Metric(
        "sensitivity",
        "Sensitivity",
        positive(m.recall),
        "positive",
        shown=("terminal", "page", "card", "picture_of_two"),
        meaning="share of the positive images that are predicted positive",
        epoch=True,
    ),
    Metric(
        "specificity",
        "Specificity",
        negative(m.recall),
        "positive",
        shown=("terminal", "page", "card", "picture_of_two"),
        meaning="share of the other images that are predicted negative",
        epoch=True,
    ),
    Metric(
        "ppv",
        "PPV",
        positive(m.precision),
        "positive",
        shown=("page", "card"),
        meaning="share of the positive predictions that are right",
    ),
    Metric(
        "npv",
        "NPV",
        positive(m.npv),
        "positive",
        shown=("page", "card"),
        meaning="share of the negative predictions that are right",
    ),
    Metric("recall", "Sensitivity", m.recall, "class", shown=("page", "card")),
    Metric("specificity", "Specificity", m.specificity, "class", shown=("page", "card")),
    Metric("precision", "PPV", m.precision, "class", shown=("page", "card")),
    Metric("npv", "NPV", m.npv, "class", shown=("page", "card")),
    Metric("f1", "F1", m.f1, "class", shown=("page",), epoch=True),
    Metric(
        "auroc",
        "AUROC",
        m.auroc,
        "class",
        shown=("page", "card", "positive_view"),
        meaning="how often a positive image ranks above another",
    ),
    Metric("pr_auc", "Average precision (AP)", m.average_precision, "class", shown=("page", "card"), epoch=True),
    Metric("partial_auroc", "Partial AUROC", m.partial_auroc, "class", bounds=(0.0, 0.2), shown=("page",)),
    *(
        Metric(name, label, compute, "class", None, UNBOUNDED, shown=("calibration",), resampled=NEWTON)
        for name, label, compute in (
            ("calibration_slope", "Calibration slope", m.calibration_slope),
            ("calibration_intercept", "Calibration intercept", m.calibration_intercept),
        )
    ),
    Metric("support", "Images", m.support, "class", None, (0.0, np.inf)),
]


def find_metric(name: str) -> Metric | None:
    """Return the entry of a name in ``metrics.json``, with or without its class; None for another name.

    >>> [metric.scope for name in ("npv", "npv/mel", "auroc") if (metric := find_metric(name))]
    ['positive', 'class', 'class']
    """
    base, _, of_class = name.partition("/")
    found = sorted((each for each in METRICS if each.name == base), key=lambda each: each.scope == "class")
    found = [each for each in found if each.scope == "class"] if of_class else found
    return found[0] if found else None


def reported_metrics(classes: Sequence[str], *, epoch: bool = False) -> dict[str, tuple[Metric, int | None]]:
    """Return name in ``metrics.json`` → its entry, and the class's number where it is of one.

    Args:
        classes: class names; metrics of the positive class are those of two classes only.
        epoch: only what is logged after each epoch.

    >>> [name for name in reported_metrics(["nv", "mel"], epoch=True) if name.startswith("f1")]
    ['f1_macro', 'f1_positive', 'f1/nv', 'f1/mel']
    """
    found: dict[str, tuple[Metric, int | None]] = {}
    for metric in METRICS:
        if (epoch and not metric.epoch) or (metric.scope == "positive" and len(classes) != 2):
            continue
        if metric.scope == "class":
            found |= {f"{metric.name}/{name}": (metric, i) for i, name in enumerate(classes)}
        else:
            found[metric.name] = metric, None
    return found


def shown_metrics(place: Place, *scopes: Scope) -> list[Metric]:
    """Return the metrics that are shown in a place, in the order of the registry.

    >>> [metric.name for metric in shown_metrics("leaderboard", "positive")]
    ['f1_positive', 'pr_auc_positive']
    """
    return [each for each in METRICS if place in each.shown and each.scope in scopes]


def metric_label(name: str) -> str:
    """Return what people read for a name: the registry's label, and the class after a comma.

    >>> metric_label("pr_auc_macro"), metric_label("recall/mel"), metric_label("cost/a/b")
    ('Macro average precision', 'Sensitivity, mel', 'cost, a/b')
    """
    base, _, of_class = name.partition("/")
    metric = find_metric(name)
    label = metric.label if metric else base.replace("_", " ")
    return f"{label}, {of_class}" if of_class else label


def metric_in_sentence(name: str) -> str:
    """Return a metric's label as it stands within a sentence.

    >>> metric_in_sentence("balanced_accuracy"), metric_in_sentence("auroc/mel"), metric_in_sentence("brier")
    ('balanced accuracy', 'AUROC, mel', 'Brier score')
    """
    metric, label = find_metric(name), metric_label(name)
    if metric is not None and metric.in_sentence:
        return metric.in_sentence
    return label if label[:2].isupper() or label[1:2].isdigit() else label[:1].lower() + label[1:]


def direction(name: str) -> Literal["min", "max"] | None:
    """Return whether a metric is better the smaller (``min``) or the larger (``max``); None where neither is true.

    >>> direction("brier"), direction("pr_auc/mel"), direction("calibration_slope/mel")
    ('min', 'max', None)
    """
    metric = find_metric(name)
    return metric.direction if metric else "max"


def bounds(name: str) -> tuple[float, float]:
    """Return the least and the greatest value that a metric can have.

    >>> bounds("auroc_macro"), bounds("log_loss"), bounds("calibration_slope/mel")
    ((0.0, 1.0), (0.0, inf), (-inf, inf))
    """
    metric = find_metric(name)
    return metric.bounds if metric else (0.0, 1.0)
