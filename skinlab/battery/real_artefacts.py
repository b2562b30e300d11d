"""Real artefacts: images with each artefact against those without it, within source and class, and a drawn one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.alterations.artefacts import ARTEFACTS, draw
from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.model import Alteration, Image
from skinlab.battery.probe import Findings, NotRunError, Probe, Shown
from skinlab.errors import UserError
from skinlab.evaluation.metrics.registry import find_metric
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.flags import LIMITS, flag_changes
from skinlab.evaluation.shift.form import Condition
from skinlab.evaluation.shift.held_against import Pair, held_against, table_of
from skinlab.evaluation.shift.matching import Arm
from skinlab.evaluation.shift.yardstick import OF_POSITIVE, condition
from skinlab.evaluation.statistics.support import FOR_DIFFERENCE, FOR_RANKING, GroupCounts

# What is drawn to be held against a column of the table, one of them on each image; other columns by their own name.
DRAWN = {"ruler": ("ruler", "scale_bar")}
METRICS = [name for name in OF_POSITIVE if name != "ece"]  # its bias depends on the number of images
HELD = [limit for limit in LIMITS if limit.metric in ("sensitivity", "specificity")]
REFERENCE = "images without it, at the same mix of source and class"
TOO_FEW = (
    f"{FOR_DIFFERENCE} groups with it and {FOR_DIFFERENCE} without are needed, of positive or of other images, in the "
    "same sources and classes"
)
REMAINS = (
    "Each source and class counts by its images with and without the artefact (Mantel and Haenszel's weights). What "
    "else goes with an artefact within them remains: the device, the patient, the size of the lesion."
)
SHOWN = 2  # pictures of an artefact, real and drawn


@dataclass(frozen=True)
class Compared:
    """The images with an artefact and without it.

    Attributes:
        rows: ``(M,)`` numbers of the images of which it is known.
        present: the arm of those with it.
        absent: the arm of those without it.
        metrics: with enough groups in both arms.
    """

    rows: npt.NDArray[np.int64]
    present: Arm
    absent: Arm
    metrics: list[str]


@dataclass(frozen=True)
class RealArtefacts(Probe):
    """Metrics on images with each artefact, and with it drawn onto those without, against those without.

    Args:
        present: probability from which an image counts as one with the artefact.
        absent: probability up to which it counts as one without; images between are left out.
        dose: of the drawn artefact.

    Raises:
        UserError: the two probabilities are not in this order, or the dose is out of range.
    """

    present: float = 0.9
    absent: float = 0.1
    dose: float = 0.5
    title: ClassVar[str] = "Real artefacts"
    question: ClassVar[str] = "Are images with a real ruler, hair or ink decided otherwise than others of their kind?"
    published: ClassVar[str] = (
        "Models use an artefact that goes with a class in training, and debiasing failed on other data "
        "(arXiv 2208.09756)."
    )

    def __post_init__(self) -> None:
        check_presence("real_artefacts", self.present, self.absent, self.dose)

    def passes(self, bench: Bench) -> int:
        """Return how many images are predicted: all of them with each artefact drawn that is compared."""
        images, labels = labelled(bench)
        return len(images) * sum(bool(self.compared(images, labels[name]).metrics) for name in labels)

    def run(self, bench: Bench) -> Findings:
        """Return the metrics with, without and with drawn artefacts, at one mix of source and class."""
        images, labels = labelled(bench)
        found, pairs, real = Findings(reference=REFERENCE), list[Pair](), list[Condition]()
        compared = {str(name): self.compared(images, labels[name]) for name in labels}
        for name, each in compared.items():
            if each.metrics:
                alter = bench.random(partial(draw_one, DRAWN.get(name, (name,)), self.dose), name)
                conditions, held = _compare(name.replace("_", " "), images, images.predict(alter), each)
                real.append(conditions[0])
                found.conditions += conditions
                pairs += held
                found.pictures += self._pictures(name.replace("_", " "), images, each, alter)
        if not real:
            raise NotRunError(f"no artefact of the table has images enough: {TOO_FEW}")
        flags, found.notes = held_against(pairs)
        found.flags = flag_changes(real, "The real artefact ") + flags
        few = [name.replace("_", " ") for name, each in compared.items() if not each.metrics]
        found.notes += [f"Not compared: {', '.join(few)} ({TOO_FEW})."] * bool(few) + [REMAINS]
        found.tables = [table_of(pairs)]
        return found

    def compared(self, images: ImageSet, probability: pd.Series[float]) -> Compared:
        """Return the images with an artefact and without it, by its probability ``(N,)``, NaN where unknown."""
        p = probability.to_numpy()
        rows = np.flatnonzero((p >= self.present) | (p <= self.absent))
        kept, has = images.rows.iloc[rows], p[rows] >= self.present
        stratum = pd.factorize(kept["source"] + "\n" + kept["label"])[0]
        arms = Arm(stratum, has), Arm(stratum, ~has)
        positive = kept["label"].isin(images.yardstick.positive).to_numpy().astype(np.int64)
        group = pd.factorize(kept["group"])[0]
        names = [name for name in METRICS if all(_enough(name, group, positive, arm) for arm in arms)]
        return Compared(rows, *arms, names)

    def _pictures(self, name: str, images: ImageSet, compared: Compared, alter: Alteration) -> list[Shown]:
        """Return images with the real artefact, and some without it as they are altered."""
        real, without = (compared.rows[arm.counted()][:SHOWN] for arm in (compared.present, compared.absent))
        shown = [Shown(name, "real", images.pixels[row]) for row in real]
        return shown + [Shown(name, f"drawn, dose {self.dose:g}", alter(images.pixels[row], row)) for row in without]


def check_presence(probe: str, present: float, absent: float, dose: float) -> None:
    """Refuse settings of a probe of artefacts that contradict each other.

    Raises:
        UserError: the two probabilities are not in this order, or the dose is out of range.
    """
    if not 0 <= absent < present <= 1:
        raise UserError(f"probe.{probe}: absent={absent} must be below present={present}, both from 0 to 1")
    if not 0 < dose <= 1:
        raise UserError(f"probe.{probe}.dose: {dose} is not above 0 and at most 1")


def labelled(bench: Bench) -> tuple[ImageSet, pd.DataFrame]:
    """Return images that the table of artefacts names, those at home first, with the probability of each artefact.

    Raises:
        NotRunError: there is no table.
    """
    if bench.artefacts is None:
        raise NotRunError(
            "there is no table of artefacts: set artefacts=FILE.csv, with image_id and columns of "
            f"{', '.join(ARTEFACTS)}, or train with data.artefacts=FILE.csv"
        )
    places = [each for each in (bench.home, bench.outside) if each is not None]
    images = next(each for each in places if each.rows["image_id"].isin(bench.artefacts.index).any())
    return images, bench.artefacts.reindex(images.rows["image_id"])


def _compare(name: str, images: ImageSet, drawn: Predictions, compared: Compared) -> tuple[list[Condition], list[Pair]]:
    """Return the conditions with the real artefact, the drawn one and without, and both effects on decisions."""
    yardstick, present, absent = images.yardstick, compared.present, compared.absent
    clean, drawn = images.clean.take(compared.rows), drawn.take(compared.rows)
    with_it, painted, without = (
        {metric: samples[metric] for metric in compared.metrics}
        for samples in (
            yardstick.samples(clean, weighting=present),
            yardstick.samples(drawn, weighting=absent),
            yardstick.samples(clean, weighting=absent),
        )
    )
    real = condition(name, clean.take(present.counted()), yardstick, with_it)
    altered = condition(f"{name}, drawn", clean.take(absent.counted()), yardstick, painted)
    real["changes"], altered["changes"] = (yardstick.paired(each, without) for each in (with_it, painted))
    apart = yardstick.paired(painted, with_it)
    pairs = [
        Pair(name, limit, *(changes[limit.metric] for changes in (real["changes"], altered["changes"], apart)))
        for limit in HELD
        if limit.metric in compared.metrics
    ]
    return [real, altered, condition(f"no {name}", clean.take(absent.counted()), yardstick, without)], pairs


def _enough(name: str, group: npt.NDArray[np.int64], positive: npt.NDArray[np.int64], arm: Arm) -> bool:
    """Return whether the images of an arm have groups enough for differences of a metric."""
    metric, counted = find_metric(name), arm.counted()
    if not counted.any():
        return False
    groups = np.unique(group[counted], return_inverse=True)[1]
    counts = GroupCounts.count(groups, positive[counted], ["other", "positive"])
    least = FOR_RANKING if metric is not None and metric.ranking else FOR_DIFFERENCE
    return counts.fewest(metric, name.partition("/")[2])[0] >= least


def draw_one(names: Sequence[str], dose: float, image: Image, rng: np.random.Generator) -> Image:
    """Return an image with one of some artefacts drawn onto it."""
    return draw(names[int(rng.integers(len(names)))], image, dose, rng)
