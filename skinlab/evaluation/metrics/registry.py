"""The registry of metrics: one entry per name in ``metrics.json``, with its computation and all that is shown of it.

A new metric is an entry in ``METRICS`` with a function. Everything else reads this list: the log of an epoch and
``callbacks.monitor``, ``metrics.json``, intervals, comparisons, the terminal, the pages, the model card and W&B.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from skinlab.evaluation.metrics import functions as m
from skinlab.evaluation.metrics.functions import macro, negative, positive
from skinlab.evaluation.metrics.metric import UNBOUNDED, Metric, Place, Scope
from skinlab.evaluation.metrics.operating_points import operating_point

MAIN: tuple[Place, ...] = ("terminal", "page", "card", "leaderboard", "picture")
DETAIL: tuple[Place, ...] = ("page", "card")
BIASED = "resampling adds to the calibration error, which is itself biased upwards in small samples"
NEWTON = "one Newton step from the fit on the table itself (Moulton and Zeger, 1991)"
OF_CLASS = partial(Metric, scope="class", shown=DETAIL)
METRICS = [
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        macro(m.recall),
        shown=(*MAIN, "subgroups", "picture_of_two"),
        meaning="sensitivity averaged over the classes",
        epoch=True,
        stratified=True,
        needs="classes",
        like_share=True,
    ),
    Metric("accuracy", "Accuracy", m.accuracy, epoch=True, share_of="images"),
    Metric(
        "f1_macro",
        "Macro F1",
        macro(m.f1),
        shown=("terminal", "page", "card", "picture"),
        meaning="harmonic mean of sensitivity and PPV, averaged over the classes",
        epoch=True,
        needs="classes",
        like_share=True,
    ),
    Metric(
        "pr_auc_macro",
        "Macro average precision",
        macro(m.average_precision),
        short="Macro AP",
        shown=MAIN,
        meaning="precision averaged over the recalls (in steps), then over the classes",
        epoch=True,
        needs="classes",
        ranking=True,
    ),
    Metric(
        "auroc_macro",
        "Macro AUROC",
        macro(m.auroc),
        shown=(*MAIN, "subgroups", "picture_of_two"),
        meaning="how often an image of a class ranks above one of another class, averaged over the classes",
        epoch=True,
        stratified=True,
        needs="classes",
        ranking=True,
    ),
    Metric(
        "partial_auroc_macro",
        "Macro partial AUROC",
        macro(m.partial_auroc),
        bounds=(0.0, 0.2),
        stratified=True,
        min_groups=50,
        needs="classes",
        ranking=True,
    ),
    Metric(
        "mcc", "Matthews correlation", m.mcc, bounds=(-1.0, 1.0), shown=("card",), in_sentence="Matthews correlation"
    ),
    Metric(
        "brier",
        "Brier score",
        m.brier,
        direction="min",
        bounds=(0.0, 2.0),
        bounds_of_two=(0.0, 1.0),
        shown=("card", "calibration"),
        heavy_tails=True,
        in_sentence="Brier score",
    ),
    Metric(
        "log_loss",
        "Log-loss",
        m.log_loss,
        direction="min",
        bounds=(0.0, np.inf),
        shown=("card", "calibration"),
        heavy_tails=True,
        min_groups=60,
    ),
    Metric(
        "ece",
        "Expected calibration error",
        m.ece,
        direction="min",
        short="ECE",
        shown=("terminal", "picture", "calibration"),
        epoch=True,
        no_interval=BIASED,
    ),
    Metric(
        "adaptive_ece",
        "Adaptive calibration error",
        m.adaptive_ece,
        direction="min",
        shown=("card", "calibration"),
        resampled="with the bins of the table itself",
        no_interval=BIASED,
    ),
    Metric(
        "f1_positive",
        "F1 of the positive class",
        positive(m.f1),
        "positive",
        short="F1, positive",
        shown=("terminal", "page", "card", "leaderboard", "picture_of_two"),
        meaning="harmonic mean of sensitivity and PPV",
        epoch=True,
        needs="both",
        like_share=True,
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
        needs="both",
        ranking=True,
    ),
    Metric(
        "sensitivity",
        "Sensitivity",
        positive(m.recall),
        "positive",
        shown=("terminal", "page", "card", "subgroups", "picture_of_two"),
        meaning="share of the positive images that are predicted positive",
        epoch=True,
        stratified=True,
        needs="class",
        share_of="class",
    ),
    Metric(
        "specificity",
        "Specificity",
        negative(m.recall),
        "positive",
        shown=("terminal", "page", "card", "subgroups", "picture_of_two"),
        meaning="share of the other images that are predicted negative",
        epoch=True,
        stratified=True,
        needs="rest",
        share_of="rest",
    ),
    Metric(
        "ppv",
        "PPV",
        positive(m.precision),
        "positive",
        shown=DETAIL,
        meaning="share of the positive predictions that are right",
        needs="both",
        share_of="predicted",
    ),
    Metric(
        "npv",
        "NPV",
        positive(m.npv),
        "positive",
        shown=DETAIL,
        meaning="share of the negative predictions that are right",
        needs="both",
        share_of="not predicted",
    ),
    OF_CLASS("recall", "Sensitivity", m.recall, epoch=True, stratified=True, needs="class", share_of="class"),
    OF_CLASS("specificity", "Specificity", m.specificity, stratified=True, needs="rest", share_of="rest"),
    OF_CLASS("precision", "PPV", m.precision, needs="both", share_of="predicted"),
    OF_CLASS("npv", "NPV", m.npv, needs="both", share_of="not predicted"),
    Metric("f1", "F1", m.f1, "class", shown=("page",), epoch=True, needs="both", like_share=True),
    Metric(
        "auroc",
        "AUROC",
        m.auroc,
        "class",
        shown=("page", "card", "subgroups", "positive_view"),
        meaning="how often a positive image ranks above another",
        stratified=True,
        needs="both",
        ranking=True,
    ),
    OF_CLASS("pr_auc", "Average precision (AP)", m.average_precision, epoch=True, needs="both", ranking=True),
    Metric(
        "partial_auroc",
        "Partial AUROC",
        m.partial_auroc,
        "class",
        bounds=(0.0, 0.2),
        shown=("page",),
        stratified=True,
        needs="both",
        min_groups=50,
        ranking=True,
    ),
    *(
        Metric(
            name,
            label,
            compute,
            "class",
            None,
            UNBOUNDED,
            shown=("calibration",),
            resampled=NEWTON,
            needs="both",
            min_groups=8,
            heavy_tails=True,
        )
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


def metric_label(name: str, *, point: bool | str = True) -> str:
    """Return what people read for a name: the registry's label, the class after a comma, and the operating point.

    Args:
        name: in ``metrics.json``.
        point: the operating point, if it is not that of a metric in ``metrics.json``; or whether to name that one: a
            table may state the point of all its columns.

    >>> metric_label("pr_auc_macro"), metric_label("recall/mel"), metric_label("cost/a/b")
    ('Macro average precision', 'Sensitivity, mel (most probable class)', 'cost, a/b')
    >>> metric_label("sensitivity", point="best F1")
    'Sensitivity (best F1)'
    """
    if at := operating_point(name) if point is True else point:
        return f"{metric_label(name, point=False)} ({at})"
    base, _, of_class = name.partition("/")
    metric = find_metric(name)
    label = metric.label if metric else base.replace("_", " ")
    return f"{label}, {of_class}" if of_class else label


def metric_in_sentence(name: str, *, point: bool | str = True) -> str:
    """Return a metric's label as it stands within a sentence, see :func:`metric_label`.

    >>> metric_in_sentence("balanced_accuracy"), metric_in_sentence("auroc/mel"), metric_in_sentence("brier")
    ('balanced accuracy', 'AUROC, mel', 'Brier score')
    """
    metric, label = find_metric(name), metric_label(name, point=point)
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
