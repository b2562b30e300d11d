"""Artefact lab: rulers, scale bars, gel bubbles, hair, ink, dark corners, stickers and gel borders, drawn at doses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from skinlab.alterations.artefacts import ARTEFACTS, draw
from skinlab.battery.bench import Bench, examples
from skinlab.battery.model import Image
from skinlab.battery.probe import Findings, Probe, Shown, require_home
from skinlab.errors import UserError, nearest
from skinlab.evaluation.shift.flags import flag_changes, flag_flips, span
from skinlab.evaluation.shift.form import Change, Table
from skinlab.evaluation.shift.yardstick import altered_condition
from skinlab.evaluation.statistics.p_values import holm


@dataclass(frozen=True)
class DrawnArtefacts(Probe):
    """Metrics and decisions with each artefact drawn onto every image, against the same images without it.

    Args:
        artefacts: names in :data:`skinlab.alterations.artefacts.ARTEFACTS`; None for all.
        doses: above 0, at most 1 (strong).

    Raises:
        UserError: an unknown artefact, or a dose out of range.
    """

    artefacts: Sequence[str] | None = None
    doses: Sequence[float] = (0.25, 0.5, 1.0)
    title: ClassVar[str] = "Artefact lab"
    question: ClassVar[str] = "Does a ruler, hair or ink that is drawn onto an image change the decision?"
    published: ClassVar[str] = (
        "Scale bars took the specificity from 87.9 % to between 0 and 43.9 % (PubMed 33465706); pen markings raised "
        "false positives among nevi by 40 points (PMC6694463)."
    )

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in ARTEFACTS:
                raise UserError(
                    f"probe.drawn_artefacts.artefacts: {name} is none of {', '.join(ARTEFACTS)}"
                    f"{nearest(name, ARTEFACTS)}"
                )
        for dose in self.doses:
            if not 0 < dose <= 1:
                raise UserError(f"probe.drawn_artefacts.doses: {dose} is not above 0 and at most 1")

    @property
    def names(self) -> Sequence[str]:
        """The artefacts."""
        return list(ARTEFACTS) if self.artefacts is None else self.artefacts

    def passes(self, bench: Bench) -> int:
        """Return how many images are predicted."""
        return len(require_home(bench)) * len(self.names) * len(self.doses)

    def run(self, bench: Bench) -> Findings:
        """Return the metrics with each artefact at each dose, and the decisions of each class."""
        home, found, yardstick = require_home(bench), Findings(reference="the unaltered images"), bench.yardstick
        shown = examples(home.rows, yardstick.positive)
        by_class: dict[tuple[str, str], dict[str, Change]] = {}
        for name in self.names:
            for dose in self.doses:
                alter = bench.random(partial(_draw, name, dose), name)  # a dose adds to the same artefact
                table = home.predict(alter)
                found.conditions.append(
                    altered_condition(name, f"dose {dose:g}", table, home.clean, home.reference, yardstick)
                )
                by_class[name, f"dose {dose:g}"] = yardstick.called(table, home.clean)
                for row in shown:
                    title = f"{name.replace('_', ' ')}, {home.rows['label'][row]}"
                    found.pictures.append(Shown(title, f"dose {dose:g}", alter(home.pixels[row], row)))
        what = "The drawn artefact "
        found.flags = flag_changes(found.conditions, what) + flag_flips(found.conditions, what)
        found.tables, found.notes = [_table(by_class)], _notes(by_class)
        return found


def _draw(name: str, dose: float, image: Image, rng: np.random.Generator) -> Image:
    return draw(name, image, dose, rng)


def _table(by_class: Mapping[tuple[str, str], Mapping[str, Change]]) -> Table:
    classes = sorted({each for changes in by_class.values() for each in changes})
    return {
        "title": "Change of the share of each class that is called positive",
        "columns": ["Artefact and dose", *classes],
        "signed": True,
        "rows": [
            {"name": ", ".join(key).replace("_", " "), "cells": [changes[each]["difference"] for each in classes]}
            for key, changes in by_class.items()
        ],
    }


def _notes(by_class: Mapping[tuple[str, str], Mapping[str, Change]]) -> list[str]:
    """Return for each artefact the classes that are called positive more or less often, beyond chance after Holm."""
    rows = [(*key, each, change) for key, changes in by_class.items() for each, change in changes.items()]
    p_values = holm([np.nan if change["p"] is None else change["p"] for *_, change in rows])
    beyond: dict[str, dict[str, str]] = {}
    for (name, dose, label, change), p in zip(rows, p_values, strict=True):
        if p <= 0.05:  # the strongest dose is the last
            beyond.setdefault(name, {})[label] = f"{label} {span(change)} at {dose}"
    return [
        f"{name.replace('_', ' ').capitalize()} changes the share called positive (beyond chance after Holm's "
        f"correction): {', '.join(found.values())}."
        for name, found in beyond.items()
    ]
