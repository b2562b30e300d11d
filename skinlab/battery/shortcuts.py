"""Shortcuts: sources and artefacts that go with a class at home, and whether the model takes them for that class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import ClassVar

import numpy as np

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.probe import Findings, NotRunError, Probe, require_home
from skinlab.battery.real_artefacts import DRAWN, draw_one
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
            alter = bench.random(partial(draw_one, DRAWN.get(str(name), (str(name),)), self.dose), str(name))
            found.append(Feature(str(name).replace("_", " "), has, cache(partial(home.predict, alter))))
        return found


def _sources(home: ImageSet) -> Sequence[Feature]:
    """Return the sources of the images at home, where there are several."""
    source = home.rows["source"].astype(str)
    names = sorted(set(source) - {""})
    known = (source != "").to_numpy()
    return [
        Feature(f"source {name}", np.where(known, (source == name).to_numpy(), np.nan).astype(float)) for name in names
    ] * (len(names) > 1)
