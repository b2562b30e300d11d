"""Shortcuts: sources and artefacts that go with a class at home, and whether the model takes them for that class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import ClassVar

import numpy as np

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.model import Alteration
from skinlab.battery.probe import Findings, NotRunError, Probe, Shown, require_home
from skinlab.battery.real_artefacts import DRAWN, SHOWN, check_presence, draw_one
from skinlab.evaluation.shift.shortcuts import Feature, Tie, find_ties, flag_shortcuts, measure, ties_table

REMAINS = (
    "A tie is tested over lesions (Fisher's exact test, Holm's correction). Effects are on images of other classes: "
    "real, those with the feature against others of their class; drawn, the same images with it and without. What else "
    "goes with a real feature within a class, such as another camera's patients, remains in its effect."
)


@dataclass(frozen=True)
class Shortcuts(Probe):
    """Sources and artefacts that a class has more often than others, and what they do to its probability elsewhere.

    Args:
        present: probability from which an image counts as one with an artefact.
        absent: probability up to which it counts as one without; images between are left out.
        dose: of a drawn artefact.

    Raises:
        UserError: the two probabilities are not in this order, or the dose is out of range.
    """

    present: float = 0.9
    absent: float = 0.1
    dose: float = 1.0
    title: ClassVar[str] = "Shortcuts"
    question: ClassVar[str] = "Does it take a source or an artefact that goes with a class for a sign of that class?"
    published: ClassVar[str] = (
        "Models use an artefact that goes with a class in training, and debiasing failed on other data "
        "(arXiv 2208.09756)."
    )

    def __post_init__(self) -> None:
        check_presence("shortcuts", self.present, self.absent, self.dose)

    def passes(self, bench: Bench) -> int:
        """Return how many images are predicted: all of them with each artefact drawn that goes with a class."""
        drawn = {tie.feature.name for tie in self._ties(bench) if tie.feature.draw}
        return len(require_home(bench)) * len(drawn)

    def run(self, bench: Bench) -> Findings:
        """Return the ties and their effects."""
        home, ties = require_home(bench), self._ties(bench)
        for tie in ties:
            measure(tie, home.clean, home.yardstick)
        found = Findings(flags=flag_shortcuts(ties))
        if not ties:
            found.notes.append("No source and no artefact goes with a class at home.")
            return found
        found.tables, found.notes = [ties_table(ties)], [REMAINS]
        found.pictures = [each for tie in ties if tie.drawn for each in self._pictures(bench, tie)]
        return found

    def _ties(self, bench: Bench) -> list[Tie]:
        """Return what goes with a class.

        Raises:
            NotRunError: neither sources nor artefacts are known.
        """
        home = require_home(bench)
        features = [*_sources(home), *self._artefacts(bench, home)]
        if not features:
            raise NotRunError(
                "the images at home are of one source, or of none that is known (column source), and there is no "
                "table of artefacts (artefacts=FILE.csv)"
            )
        return find_ties(features, home.rows["label"], home.rows["group"])

    def _artefacts(self, bench: Bench, home: ImageSet) -> list[Feature]:
        """Return the artefacts that the table knows of images at home, each with its drawn form."""
        if bench.artefacts is None:
            return []
        found, table = [], bench.artefacts.reindex(home.rows["image_id"])
        for name in table:
            p = table[name].to_numpy()
            has = np.where(p >= self.present, 1.0, np.where(p <= self.absent, 0.0, np.nan))
            draw = cache(partial(home.predict, self._drawn(bench, str(name))))
            found.append(Feature(str(name).replace("_", " "), has, draw))
        return found

    def _drawn(self, bench: Bench, name: str) -> Alteration:
        """Return the alteration that draws an artefact of the table onto an image."""
        return bench.random(partial(draw_one, DRAWN.get(name, (name,)), self.dose), name)

    def _pictures(self, bench: Bench, tie: Tie) -> list[Shown]:
        """Return images of other classes than that of a tie, with its artefact drawn."""
        home, name = require_home(bench), tie.feature.name
        others = np.flatnonzero((home.rows["label"] != tie.label).to_numpy() & (tie.feature.has == 0))[:SHOWN]
        alter = self._drawn(bench, name.replace(" ", "_"))
        title = f"{name}, which goes with {tie.label}"
        return [Shown(title, f"drawn onto {home.rows['label'][row]}", alter(home.pixels[row], row)) for row in others]


def _sources(home: ImageSet) -> list[Feature]:
    """Return the sources of the images at home; none where there is one alone."""
    source = home.rows["source"].astype(str)
    names = sorted(set(source) - {""})
    has = [np.where(source == name, 1.0, np.where(source == "", np.nan, 0.0)) for name in names]
    return [Feature(f"source {name}", each) for name, each in zip(names, has, strict=True)] if len(names) > 1 else []
