"""Hold the effects of drawn artefacts against those of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skinlab.evaluation.shift.flags import Limit, number, span
from skinlab.evaluation.shift.form import Change, Flag, Table
from skinlab.evaluation.statistics.p_values import holm


@dataclass(frozen=True)
class Pair:
    """The change of a metric with a real artefact and with the same one drawn, both against images without it.

    Attributes:
        artefact: its name.
        limit: of the metric.
        real: the change with the real one.
        drawn: the change with the drawn one.
        difference: drawn minus real.
    """

    artefact: str
    limit: Limit
    real: Change
    drawn: Change
    difference: Change


def held_against(pairs: Sequence[Pair]) -> tuple[list[Flag], list[str]]:
    """Say where a drawn artefact moves a model while real ones don't, or the other way round.

    A change counts from the metric's limit on, with p below .05 after Holm's correction over all pairs.

    Args:
        pairs: of artefacts and metrics.

    Returns:
        A flag for each pair of which one change counts and the two differ so; a sentence for each other pair of which
        one of the two or their difference counts.
    """
    real, drawn, apart = (
        [
            p <= 0.05 and abs(number(getattr(pair, change)["difference"]["value"])) >= pair.limit.size
            for pair, p in zip(pairs, holm([number(getattr(each, change)["p"]) for each in pairs]), strict=True)
        ]
        for change in ("real", "drawn", "difference")
    )
    flags: list[Flag] = []
    notes = []
    for i, pair in enumerate(pairs):
        if apart[i] and (real[i] or drawn[i]):
            size = abs(number(pair.difference["difference"]["value"])) / pair.limit.size
            flags.append({"level": "watch", "sentence": _sentence(pair), "size": size})
        elif apart[i]:
            notes.append(f"{_sentence(pair)} Neither change alone is large and certain enough to count.")
        elif real[i] != drawn[i]:
            notes.append(f"{_sentence(pair)} The difference of the two may be chance.")
    return flags, notes


def table_of(pairs: Sequence[Pair]) -> Table:
    """Return the changes of all pairs."""
    return {
        "title": "Real artefacts against the same ones drawn onto the images without them",
        "columns": ["Artefact and metric", "real", "drawn", "drawn minus real"],
        "rows": [
            {
                "name": f"{pair.artefact}, {pair.limit.label}",
                "cells": [each["difference"] for each in (pair.real, pair.drawn, pair.difference)],
            }
            for pair in pairs
        ],
        "signed": True,
    }


def _sentence(pair: Pair) -> str:
    real, drawn = (number(each["difference"]["value"]) for each in (pair.real, pair.drawn))
    meaning = (
        "they change it in opposite directions, so that the drawing does not stand for the real one"
        if real * drawn < 0 and min(abs(real), abs(drawn)) >= pair.limit.size / 2
        else "the real one does less than the drawn one suggests"
        if abs(drawn) > abs(real)
        else "the drawn one does not explain it, and something else on images with the real one may"
    )
    return (
        f"The drawn artefact {pair.artefact} changes {pair.limit.label} by {span(pair.drawn)}, the real one by "
        f"{span(pair.real)}: {meaning}."
    )
