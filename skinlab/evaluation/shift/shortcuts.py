"""Shortcuts: features of an image that go with a class at home, and what they add to the probability of that class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import fisher_exact

from skinlab.evaluation.evidence.interval_form import Interval
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.flags import number, span
from skinlab.evaluation.shift.form import Change, Flag, Table
from skinlab.evaluation.shift.matching import Arm
from skinlab.evaluation.shift.yardstick import DRAWS, LEAST_P, Yardstick
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.evaluation.statistics.p_values import holm, p_in_words
from skinlab.evaluation.statistics.unpaired import difference_p

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LOG_ODDS = "log_odds"
LEAST_TIE = 2.0  # odds ratio from which a feature counts as tied to a class
LEAST_EFFECT = float(np.log(1.25))  # of the odds of a class, from which a shortcut is flagged
NEAR_ONE = 1e-6  # probabilities are kept so far from 0 and 1


@dataclass(frozen=True)
class Feature:
    """Something that an image shows or comes from, such as a ruler or a source.

    Attributes:
        name: of it.
        has: ``(N,)`` 1 where an image has it, 0 where not, NaN where that is unknown.
        draw: returns predictions of the N images with the feature drawn onto each; None where it can't be drawn.
    """

    name: str
    has: Floats
    draw: Callable[[], Predictions] | None = None

    @property
    def known(self) -> Bools:
        """Which images are known to have it or not."""
        return np.isfinite(self.has)


@dataclass
class Tie:
    """A feature that a class has more often than the others.

    Attributes:
        feature: of the images at home.
        label: the class.
        share: of the groups of the class that have the feature.
        other_share: of the other groups.
        p: of no tie, after Holm's correction over all features and classes.
        real: change of the log-odds of the class on images of other classes that have the feature, against others of
            their class; None where too few have it.
        drawn: the same with the feature drawn onto images without it; None where it can't be drawn.
    """

    feature: Feature
    label: str
    share: float
    other_share: float
    p: float
    real: Change | None = None
    drawn: Change | None = None


def find_ties(features: Sequence[Feature], labels: pd.Series[str], groups: pd.Series[str]) -> list[Tie]:
    """Return the features that go with a class, by Fisher's exact test over groups.

    Args:
        features: of N images.
        labels: their classes.
        groups: their groups; one has a feature where an image of it has.

    Returns:
        Ties with an odds ratio of :data:`LEAST_TIE` or more and p of .05 or less after Holm's correction.
    """
    found = []
    for feature in features:
        table = pd.DataFrame({"has": feature.has, "label": labels.to_numpy(), "group": groups.to_numpy()})
        one = table[feature.known].groupby("group", sort=False).agg(has=("has", "max"), label=("label", "first"))
        has = one["has"].to_numpy() > 0.5
        for label in sorted(set(one["label"])):
            own = (one["label"] == label).to_numpy()
            a, b, c, d = (int(cell.sum()) for cell in (has & own, ~has & own, has & ~own, ~has & ~own))
            if not (a + b and c + d):
                continue
            odds = (a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5))  # Haldane's correction of empty cells
            p = float(fisher_exact([[a, b], [c, d]], alternative="greater").pvalue)
            found.append((odds, Tie(feature, label, a / (a + b), c / (c + d), p)))
    for (_, tie), p in zip(found, holm([tie.p for _, tie in found]), strict=True):
        tie.p = p
    return [tie for odds, tie in found if odds >= LEAST_TIE and tie.p <= 0.05]


def measure(tie: Tie, clean: Predictions, yardstick: Yardstick) -> None:
    """Add what the feature does to the log-odds of the class, on images of the other classes.

    Args:
        tie: of N images.
        clean: their predictions.
        yardstick: level and seed of the intervals.
    """
    number_of = clean.classes.index(tie.label)
    rows = np.flatnonzero(tie.feature.known & (clean.target != number_of))
    others, has = clean.take(rows), tie.feature.has[rows] > 0.5
    before = _log_odds(others, number_of)
    stratum = pd.factorize(others.target)[0]
    arms = Arm(stratum, has), Arm(stratum, ~has)
    if all(_groups(others, arm.counted()) >= MIN_GROUPS for arm in arms):
        tie.real = _change(_Apart(before, *arms), others, yardstick)
    if tie.feature.draw is not None and _groups(others, ~has) >= MIN_GROUPS:
        after = _log_odds(tie.feature.draw().take(rows), number_of)
        without = others.take(~has)
        tie.drawn = _change(_Mean((after - before)[~has]), without, yardstick)


def flag_shortcuts(ties: Sequence[Tie]) -> list[Flag]:
    """Return a flag for each tie whose feature raises the odds of its class, beyond chance after Holm's correction.

    A drawn feature that does so *breaks*: nothing else was changed. A real one is to *watch*, since what else goes with
    the feature within a class may do it.
    """
    p_drawn, p_real = holm([_p(tie.drawn) for tie in ties]), holm([_p(tie.real) for tie in ties])
    flags: list[Flag] = []
    for tie, drawn, real in zip(ties, p_drawn, p_real, strict=True):
        how = [
            (change, p, words)
            for change, p, words in (
                (tie.drawn, drawn, "drawn onto images of other classes"),
                (tie.real, real, "on real images with it, against others of their class,"),
            )
            if change is not None and p <= 0.05 and number(change["difference"]["value"]) >= LEAST_EFFECT
        ]
        if how:
            flags.append(_flag(tie, how))
    return sorted(flags, key=lambda flag: -flag["size"])


def ties_table(ties: Sequence[Tie]) -> Table:
    """Return the ties with their effects on the log-odds of the class."""
    return {
        "title": "Features that go with a class, and their change of its log-odds on images of the others",
        "columns": ["Feature and class", "Share of the class", "Share of others", "Real", "Drawn"],
        "rows": [
            {
                "name": f"{tie.feature.name}, {tie.label}",
                "cells": [
                    f"{tie.share:.2f}",
                    f"{tie.other_share:.2f}",
                    *(_cell(each) for each in (tie.real, tie.drawn)),
                ],
            }
            for tie in ties
        ],
    }


def _flag(tie: Tie, how: Sequence[tuple[Change, float, str]]) -> Flag:
    effects = "; ".join(
        f"{words} it raises the log-odds of {tie.label} by {span(change)} (p {p_in_words(p, p <= LEAST_P)} after "
        "Holm's correction)"
        for change, p, words in how
    )
    return {
        "level": "breaks" if len(how) > 1 or how[0][0] is tie.drawn else "watch",
        "sentence": f"{tie.feature.name} is a shortcut to {tie.label}: {tie.share:.0%} of its lesions have it, "
        f"{tie.other_share:.0%} of the others; {effects}.",
        "size": max(number(change["difference"]["value"]) for change, _, _ in how),  # a loss of decisions comes first
    }


def _cell(change: Change | None) -> Interval | str:
    return "" if change is None else change["difference"]


def _p(change: Change | None) -> float:
    return np.nan if change is None else number(change["p"])


def _groups(table: Predictions, rows: Bools) -> int:
    return len(np.unique(table.group[rows].astype(str)))


def _log_odds(table: Predictions, label: int) -> Floats:
    p = np.clip(table.probabilities[:, label], NEAR_ONE, 1 - NEAR_ONE)
    return np.asarray(np.log(p) - np.log1p(-p))


def _change(statistic: Callable[[Floats], Mapping[str, Floats]], table: Predictions, yardstick: Yardstick) -> Change:
    resampler = Resampler(table.group, table.target, table.classes)
    samples = bootstrap(statistic, resampler, n_draws=DRAWS, seed=yardstick.seed)
    interval = samples.interval(LOG_ODDS, yardstick.level).to_dict()
    return {"difference": interval, "p": difference_p(samples, LOG_ODDS, LEAST_P)}


@dataclass(frozen=True)
class _Mean:
    """The mean of numbers ``(N,)`` of images under many weightings."""

    values: Floats

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        return {LOG_ODDS: self.values @ weights / weights.sum(0)}


@dataclass(frozen=True)
class _Apart:
    """The difference of the means of two arms of images at the same mix of classes, under many weightings."""

    values: Floats
    present: Arm
    absent: Arm

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        with np.errstate(invalid="ignore", divide="ignore"):
            means = [self.values @ (own := arm(weights)) / own.sum(0) for arm in (self.present, self.absent)]
        return {LOG_ODDS: means[0] - means[1]}
