"""Select the metrics that the registry shows in each place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from skinlab.evaluation.metrics.metric import Place
from skinlab.evaluation.metrics.registry import shown_metrics

T = TypeVar("T")


def headline(values: Mapping[str, T], place: Place) -> dict[str, T]:
    """Return the metrics of all images that a place shows, in the registry's order.

    >>> list(headline({"mcc": 0.5, "balanced_accuracy": 0.8, "accuracy": 0.9}, "card"))
    ['balanced_accuracy', 'mcc']
    """
    return _known(values, (metric.name for metric in shown_metrics(place, "all")))


def positive_headline(values: Mapping[str, T], place: Place) -> dict[str, T]:
    """Return the metrics of the positive classes against all others that a place shows."""
    names = [metric.name for metric in shown_metrics(place, "positive")]
    return _known(values, [*names, *(f"{metric.name}/positive" for metric in shown_metrics("positive_view", "class"))])


def columns(values: Mapping[str, object], place: Place, classes: Sequence[str]) -> list[str]:
    """Return the metrics per class that a place shows and some class has.

    >>> columns({"f1/mel": 0.5, "support/mel": 9}, "page", ["nv", "mel"])
    ['f1']
    """
    names = [metric.name for metric in shown_metrics(place, "class")]
    return [name for name in names if any(f"{name}/{each}" in values for each in classes)]


def _known(values: Mapping[str, T], names: Iterable[str]) -> dict[str, T]:
    return {name: values[name] for name in names if values.get(name) is not None}
