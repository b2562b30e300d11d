"""Shortcuts: sources and artefacts that go with a class at home, and whether the model takes them for that class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.alterations.device import fit_look
from skinlab.alterations.lesion import widened
from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.lesions import find_lesions
from skinlab.battery.model import Alteration
from skinlab.battery.probe import Findings, NotRunError, Probe, Shown, require_home
from skinlab.battery.real_artefacts import DRAWN, SHOWN, check_presence, draw_one
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.matching import Arm
from skinlab.evaluation.shift.shortcuts import Feature, Tie, find_ties, flag_shortcuts, measure, ties_table

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

REMAINS = (
    "A tie is tested over lesions (Fisher's exact test, Holm's correction). Effects are on images of other classes: "
    "real, those with the feature against others of their class; drawn, the same images with it and without; of a "
    "source the mean colour and fall of light of its skin are drawn, no more of its look. What else goes with a real "
    "feature within a class, such as another camera's patients, remains in its effect."
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
        """Return how many images are predicted: all of them with each feature drawn that goes with a class."""
        home = require_home(bench)
        drawn = {tie.feature.name for tie in _ties(home, self._known(bench, home)) if tie.feature.draw}
        return len(home) * len(drawn)

    def run(self, bench: Bench) -> Findings:
        """Return the ties and their effects."""
        home = require_home(bench)
        known = self._known(bench, home)
        ties = _ties(home, known)
        for tie in ties:
            measure(tie, home.clean, home.yardstick)
        found = Findings(flags=flag_shortcuts(ties))
        if not ties:
            found.notes.append("No source and no artefact goes with a class at home.")
            return found
        found.tables, found.notes = [ties_table(ties)], [REMAINS]
        for tie in ties:
            if tie.drawn and (alteration := known[tie.feature.name].alteration):
                found.pictures += _pictures(home, tie, alteration())
        return found

    def _known(self, bench: Bench, home: ImageSet) -> dict[str, Known]:
        """Return the sources, and the artefacts that the table knows of images at home.

        Raises:
            NotRunError: neither sources nor artefacts are known.
        """
        found = _sources(home)
        if bench.artefacts is not None:
            table = bench.artefacts.reindex(home.rows["image_id"])
            for name in map(str, table):
                p = table[name].to_numpy()
                has = np.where(p >= self.present, 1.0, np.where(p <= self.absent, 0.0, np.nan))
                alteration = partial(bench.random, partial(draw_one, DRAWN.get(name, (name,)), self.dose), name)
                found[name.replace("_", " ")] = Known(has, alteration)
        if not found:
            raise NotRunError(
                "the images at home are of one source, or of none that is known (column source), and there is no "
                "table of artefacts (artefacts=FILE.csv)"
            )
        return found


@dataclass(frozen=True)
class Known:
    """Which images have a feature ``(N,)``, NaN where that is unknown, and how it is drawn; None where it can't be."""

    has: Floats
    alteration: Callable[[], Alteration] | None


def _ties(home: ImageSet, known: Mapping[str, Known]) -> list[Tie]:
    """Return the features that go with a class; each is drawn onto the images at home when it is asked for."""
    features = []
    for name, each in known.items():
        draw = None if each.alteration is None else cache(partial(_predict, home, each.alteration))
        features.append(Feature(name, each.has, draw))
    return find_ties(features, home.rows["label"], home.rows["group"])


def _predict(home: ImageSet, alteration: Callable[[], Alteration]) -> Predictions:
    return home.predict(alteration())


def _pictures(home: ImageSet, tie: Tie, alter: Alteration) -> list[Shown]:
    """Return images of other classes than that of a tie, as they are and with its feature drawn."""
    others = np.flatnonzero((home.rows["label"] != tie.label).to_numpy() & (tie.feature.has == 0))[:SHOWN]
    title, shown = f"{tie.feature.name}, which goes with {tie.label}", list[Shown]()
    for row in others:
        shown.append(Shown(title, f"{home.rows['label'][row]} as it is", home.pixels[row]))
        shown.append(Shown(title, "drawn onto it", alter(home.pixels[row], row)))
    return shown


def _sources(home: ImageSet) -> dict[str, Known]:
    """Return the sources of the images at home, each with its look; none where there is one alone."""
    source, found = home.rows["source"].astype(str), {}
    names, skin = sorted(set(source) - {""}), cache(partial(_skin, home))
    for name in names if len(names) > 1 else []:
        rows = np.flatnonzero(source != "")
        own = (source.iloc[rows] == name).to_numpy()
        label = pd.factorize(home.rows["label"].iloc[rows])[0]
        arms = Arm(label, own), Arm(label, ~own)
        has = np.full(len(home), np.nan)
        has[rows] = own
        groups = home.rows["group"].iloc[rows]
        enough = all(groups[arm.counted()].nunique() >= MIN_GROUPS for arm in arms)
        found[f"source {name}"] = Known(has, cache(partial(_look, home, rows, arms, skin)) if enough else None)
    return found


def _look(home: ImageSet, rows: Ints, arms: tuple[Arm, Arm], skin: Callable[[], Bools]) -> Alteration:
    """Return the alteration that gives an image the look of a source's skin, at the same mix of classes."""
    own, others = (arm(np.ones((len(rows), 1)))[:, 0] for arm in arms)
    look = fit_look(home.pixels[rows], skin()[rows], own, others)
    return lambda image, _: look.apply(image)


def _skin(home: ImageSet) -> Bools:
    """Return where images show skin beside the lesion ``(N, S, S)``; none where the lesion was not found."""
    masks = find_lesions(home, segment=True).masks
    nothing = np.zeros(home.pixels.shape[1:3], bool)
    return np.stack([nothing if mask is None else ~widened(mask) for mask in masks])
